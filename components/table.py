"""Reading a feature table (``serinus.features.batch``) into arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.model import Levels, Vectorizer, learn_levels

Floats = NDArray[np.float64]
Codes = NDArray[np.uint8]

UNUSED, TRAIN, VALIDATION, TEST = 0, 1, 2, 3
"""What a split says of a row."""


@dataclass(frozen=True)
class Rows:
    """Some rows of a feature table, in its order.

    ``columns`` by feature name (floats, or text for a level), ``outcome`` 0, 1 or
    NaN, ``time`` in microseconds or None where the contract has no event time,
    ``protected`` text by attribute, "" where it is missing.
    """

    columns: dict[str, NDArray[Any]]
    outcome: Floats
    time: NDArray[np.int64] | None
    protected: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return int(self.outcome.size)


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def read_features(contract: Contract, path: Path, *, names: tuple[str, ...] | None = None) -> Rows:
    """Read features (all, or those named), label, time and protected attributes of every row.

    Raises:
        SerinusError: ``SRN-PIPELINE-006`` if the table cannot be read.
    """
    names = contract.feature_names if names is None else names
    categorical = {feature.name for feature in contract.features if contract.is_categorical(feature)}
    wanted = ["CAST(label AS DOUBLE) AS label", "epoch_us(event_time) AS event_time"]
    wanted += [f"CAST({quote(p.column)} AS VARCHAR) AS {quote('p:' + p.column)}" for p in contract.protected]
    wanted += [quote(name) for name in names]
    try:
        with duckdb.connect(config={"threads": 2}) as connection:
            found = connection.execute(
                f"SELECT {', '.join(wanted)} FROM read_parquet(?)", [str(path)]
            ).fetchnumpy()
    except duckdb.Error as error:
        raise SerinusError(
            "SRN-PIPELINE-006",
            f"the feature table cannot be read ({str(error).splitlines()[0]})",
            where=str(path),
            hint="Delete the cache below --home and run the pipeline again.",
        ) from error
    columns = {name: (_text if name in categorical else _floats)(found[name]) for name in names}
    time = found["event_time"]
    timed = contract.event.time is not None
    return Rows(
        columns,
        _floats(found["label"]),
        np.ma.filled(time, 0).astype(np.int64) if timed else None,
        {p.column: _protected(found[f"p:{p.column}"]) for p in contract.protected},
    )


def _floats(values: Any) -> Floats:
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan)
    return np.asarray(values, dtype=np.float64)


def _text(values: Any) -> NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        plain = np.asarray(values.data, dtype=object)
        plain[mask] = None
        return plain
    return np.asarray(values, dtype=object)


def _protected(values: Any) -> NDArray[Any]:
    plain = _text(values)
    return np.array(["" if value is None else str(value) for value in plain], dtype=object)


def encode(contract: Contract, levels: Levels, columns: dict[str, NDArray[Any]]) -> Floats:
    """Encoded vectors (n, F), as ``Vectorizer.encode_columns`` gives them.

    Levels are coded by one pass over the distinct values: a million rows of a
    categorical column would otherwise cost a dictionary look-up each.
    """
    vectorizer = Vectorizer(contract, levels)
    coded: dict[str, NDArray[Any]] = {}
    plain = Vectorizer(contract, {})
    for name in vectorizer.names:
        values = columns[name]
        if name not in levels:
            coded[name] = values
            continue
        codes = {level: float(code) for code, level in enumerate(levels[name])}
        text = np.array(["\0" if value is None else str(value) for value in values], dtype=str)
        distinct, inverse = np.unique(text, return_inverse=True)
        coded[name] = np.array([codes.get(str(value), np.nan) for value in distinct])[inverse]
    return plain.encode_columns(coded)


def learn(contract: Contract, columns: dict[str, NDArray[Any]], rows: NDArray[np.bool_]) -> Levels:
    """Levels of the categorical features, from the given (training) rows only."""
    names = [feature.name for feature in contract.features if contract.is_categorical(feature)]
    return learn_levels(contract, {name: set(columns[name][rows].tolist()) for name in names})
