"""What the champion is shown, and what it has already seen of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
from numpy.typing import NDArray

from components.table import read_features
from serinus.bundle import Bundle
from serinus.contract import Contract, Feature
from serinus.errors import SerinusError
from serinus.features.batch import compute_features


@dataclass(frozen=True)
class Seen:
    """What is known of the rows that the champion learned from.

    Attributes:
        until: the latest moment among them, in microseconds; None where they are not dated.
        doubt: why it may have learned from some of the test rows; "" where it has not.
    """

    until: int | None
    doubt: str


def seen(bundle: Bundle, data: str, split_config: str) -> Seen:
    """What the bundle says of its training and validation rows.

    A dated split tells the moment after which nothing was learned. An undated one is the same split if
    data and settings are the same; else nobody can tell which rows were learned from.

    Args:
        data: the candidate's data, by digest; split_config: its ``Split`` as JSON text.
    """
    split = _decoded(bundle, "card.json").get("split", {})
    parts = split.get("parts", {}) if isinstance(split, dict) else {}
    ends = [parts.get(name, {}).get("to") for name in ("train", "validation")]
    dated = [end for end in ends if isinstance(end, str)]
    if dated:
        return Seen(max(_micros(end) for end in dated), "")
    provenance = _decoded(bundle, "provenance.json")
    same = provenance.get("data", {}).get("digest") == data
    same = same and provenance.get("config", {}).get("split") == json.loads(split_config)
    if same:
        return Seen(None, "")
    return Seen(
        None, "the champion may have learned from some of these rows, which carry no date; that favours it"
    )


def features_of(
    theirs: Contract, mine: Contract, records: Path, features: Path, scratch: Path
) -> dict[str, NDArray[Any]] | str:
    """The champion's features of every row of the candidate's table, in its order; why not, where they cannot be had.

    Taken from the table where both contracts declare them alike, else computed from the same records.
    """
    # Only features are of interest; what is protected need not be recorded for the champion any more.
    bare = msgspec.structs.replace(theirs, protected=(), fairness=None)
    if all(_alike(theirs, mine, feature) for feature in theirs.features):
        plain = msgspec.structs.replace(mine, protected=(), fairness=None)
        return read_features(plain, features, names=theirs.feature_names).columns
    table = scratch / "champion.parquet"
    try:
        compute_features(bare, records, table)
    except SerinusError as error:
        if error.code not in ("SRN-FEATURES-002", "SRN-FEATURES-003"):
            raise
        return f"the champion's features cannot be computed from these records: {error.what}"
    columns = read_features(bare, table).columns
    order, wanted = _row_ids(table), _row_ids(features)
    place = np.argsort(order)
    found = np.searchsorted(order[place], wanted)
    if found.size and (found.max() >= order.size or (order[place][found] != wanted).any()):
        return "the champion's contract counts other records as events than the candidate's"
    at = place[found]
    return {name: values[at] for name, values in columns.items()}


def _alike(theirs: Contract, mine: Contract, feature: Feature) -> bool:
    """Whether both contracts compute the feature of the same columns in the same way."""
    if feature.name not in mine.feature_names:
        return False
    if _computed(feature) != _computed(mine.feature(feature.name)):
        return False
    columns = [feature.column] if feature.column else []
    if feature.aggregate is not None and feature.entity is not None:
        if theirs.entities.get(feature.entity) is None or mine.entities.get(feature.entity) is None:
            return False
        if theirs.entity(feature.entity).column != mine.entity(feature.entity).column:
            return False
        if (theirs.event.time, theirs.event.arrival) != (mine.event.time, mine.event.arrival):
            return False
        if feature.column == theirs.label.column and theirs.label != mine.label:
            return False
    return all(_type(theirs, name) == _type(mine, name) for name in columns)


def _computed(feature: Feature) -> tuple[object, ...]:
    return (feature.column, feature.part, feature.entity, feature.aggregate, feature.window, feature.delay)


def _type(contract: Contract, name: str) -> str | None:
    column = contract.columns.get(name)
    return None if column is None else column.type


def _row_ids(table: Path) -> NDArray[np.int64]:
    with duckdb.connect() as connection:
        found = connection.execute("SELECT row_id FROM read_parquet(?)", [str(table)]).fetchnumpy()
    return np.asarray(found["row_id"], dtype=np.int64)


def _micros(text: str) -> int:
    # Written to the second below; nothing within that second may count as unseen.
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000 + 999_999


def _decoded(bundle: Bundle, name: str) -> dict[str, Any]:
    try:
        found = json.loads((bundle.path / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
