"""Whether anything was known too early: timestamps, labels, features that see later records, entities met before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from components.challenge.item import Item, judged
from components.config import Challenge
from components.table import TEST, TRAIN, UNUSED, VALIDATION, Codes, quote
from serinus.contract import Contract
from serinus.durations import parse_duration
from serinus.features.batch import compute_features
from serinus.features.values import identifier_sql, literal
from serinus.intervals import wilson

PROBED = 300_000
"""Records of which the features are computed again; enough for windows of weeks at ten thousand a day."""


@dataclass(frozen=True)
class Sources:
    """The typed records and the feature table, as ingest and features wrote them."""

    records: Path
    table: Path

    def query(self, sql: str) -> dict[str, Any]:
        """Columns of a query over ``r`` (records, with ``file_row_number``) and ``f`` (features)."""
        with duckdb.connect(config={"threads": 2}) as connection:
            records, table = literal(str(self.records)), literal(str(self.table))
            return connection.execute(
                f"WITH r AS (FROM read_parquet({records}, file_row_number = true)), "
                f"f AS (FROM read_parquet({table})) {sql}"
            ).fetchnumpy()

    def row_ids(self) -> NDArray[np.int64]:
        """The record of each row of the table, in the table's order."""
        return np.asarray(self.query("SELECT row_id FROM f")["row_id"], dtype=np.int64)

    def keys(self, contract: Contract, entity: str) -> NDArray[np.uint64]:
        """A hash of each row's entity, in the table's order; 0 where there is none."""
        key = identifier_sql(quote(contract.entity(entity).column))
        found = self.query(
            f"SELECT CASE WHEN {key} IS NULL THEN 0::UBIGINT ELSE hash({key}) END AS k FROM r "
            "ORDER BY file_row_number"
        )
        return np.asarray(found["k"], dtype=np.uint64)[self.row_ids()]


def of_entities(
    settings: Challenge, contract: Contract, keys: dict[str, NDArray[np.uint64]], codes: Codes
) -> list[Item]:
    """For each entity of the contract: the share of test rows whose entity was trained on.

    That customers return is the nature of card payments, and features count on it; an applicant on
    both sides of a random split is a leak. Hence the limits are the config's.
    """
    items: list[Item] = []
    for entity, key in keys.items():
        tested = key[(codes == TEST) & (key != 0)]
        known = int(np.isin(tested, np.unique(key[codes == TRAIN])).sum())
        limit = settings.shared_entities.get(entity)
        items.append(
            judged(
                "leakage", f"test_rows_of_trained_{entity}", known / tested.size if tested.size else None,
                interval=wilson(known, tested.size), maximum=limit, n=int(tested.size),
                why=f"{known:,} of {tested.size:,} rows"
                + ("" if limit is not None else "; no policy in challenge.shared_entities"),
                what=f"test rows whose {entity} stands in training rows too",
            )
        )  # fmt: skip
    return items


def of_timestamps(settings: Challenge, contract: Contract, sources: Sources) -> Item:
    """Share of the records with a feature whose timestamp lies after the event: it was not known then."""
    name, limit, event = "future_timestamps", settings.future_timestamps, contract.event
    if event.time is None:
        return judged("leakage", name, None, maximum=limit, why="the records carry no event time")
    read = {
        feature.column
        for feature in contract.features
        if feature.column is not None and contract.columns[feature.column].type == "timestamp"
    }
    later = sorted(read - {event.time, event.arrival})
    if not later:
        rows = sources.row_ids().size
        why = "no feature reads a timestamp other than the event's own"
        return judged("leakage", name, 0.0, maximum=limit, why=why, n=rows)
    moment = f"CAST({quote(event.time)} AS TIMESTAMP)"
    counts = [
        f"count(*) FILTER (CAST({quote(column)} AS TIMESTAMP) > {moment}) AS {quote(column)}"
        for column in later
    ]
    anywhere = " OR ".join(f"CAST({quote(column)} AS TIMESTAMP) > {moment}" for column in later)
    found = sources.query(
        f"SELECT count(*) AS n, count(*) FILTER ({anywhere}) AS late, {', '.join(counts)} FROM r"
    )
    total, late = int(found["n"][0]), int(found["late"][0])
    worst = max(later, key=lambda column: int(found[column][0]))
    return judged(
        "leakage", name, late / max(total, 1), interval=wilson(late, total), maximum=limit, n=total,
        why=f"{worst} is after {event.time} in {int(found[worst][0]):,} of {total:,} records",
    )  # fmt: skip


def of_labels(settings: Challenge, contract: Contract, codes: Codes, time: NDArray[np.int64] | None) -> Item:
    """Share of the rows learned from whose outcome came to be known only after the first test row."""
    name, limit = "labels_not_yet_known", settings.labels_not_yet_known
    if time is None:
        return judged("leakage", name, None, maximum=limit, why="the records carry no event time")
    learned = time[(codes == TRAIN) | (codes == VALIDATION)]
    begin = int(time[codes == TEST].min())
    delay = round(parse_duration(contract.label.delay) * 1e6)
    early = int((learned + delay > begin).sum())
    return judged(
        "leakage", name, early / max(learned.size, 1), interval=wilson(early, learned.size), maximum=limit,
        n=int(learned.size),
        why=f"{early:,} of {learned.size:,} rows; outcomes are known after {contract.label.delay}",
    )  # fmt: skip


def of_later_records(
    settings: Challenge, contract: Contract, sources: Sources, codes: Codes, scratch: Path
) -> Item:
    """The features computed again as if the later records did not exist yet: nothing may change.

    The records end at a moment within the rows that are used; what the table says of the rows before
    it must be what is found without anything after it.
    """
    name, limit = "future_changes_features", settings.future_changes_features
    windowed = [feature.name for feature in contract.features if feature.aggregate is not None]
    if contract.event.time is None or not windowed:
        why = "no feature looks at other records"
        return judged("leakage", name, None, maximum=limit, why=why)
    used = np.flatnonzero(codes != UNUSED)
    cut = min(int(used[int(0.7 * used.size)]), PROBED)
    event = f"CAST({quote(contract.event.time)} AS TIMESTAMP)"
    with duckdb.connect(config={"threads": 2}) as connection:
        table, records = literal(str(sources.table)), literal(str(sources.records))
        until = connection.execute(
            f"SELECT event_time FROM read_parquet({table}) OFFSET {cut} LIMIT 1"
        ).fetchone()
        assert until is not None
        # In their order, and with the row number that they have among all.
        connection.execute(
            f"COPY (SELECT * EXCLUDE (file_row_number) FROM read_parquet({records}, file_row_number = true) "
            f"WHERE {event} <= ? ORDER BY file_row_number) TO {literal(str(scratch / 'before.parquet'))} "
            "(FORMAT parquet)",
            [until[0]],
        )
        connection.execute(
            f"CREATE TABLE kept AS SELECT file_row_number AS whole, "
            "row_number() OVER (ORDER BY file_row_number) - 1 AS part "
            f"FROM read_parquet({records}, file_row_number = true) WHERE {event} <= ?",
            [until[0]],
        )
        again = scratch / "again.parquet"
        compute_features(contract, scratch / "before.parquet", again)
        differs = {
            feature: f"abs(a.{quote(feature)} - f.{quote(feature)}) > 1e-9 * greatest(1, abs(f.{quote(feature)})) "
            f"OR (a.{quote(feature)} IS NULL) <> (f.{quote(feature)} IS NULL)"
            for feature in windowed
        }
        counts = ", ".join(f"count(*) FILTER ({sql}) AS {quote(key)}" for key, sql in differs.items())
        found = connection.execute(
            f"SELECT count(*), count(*) FILTER ({' OR '.join(f'({sql})' for sql in differs.values())}), {counts} "
            f"FROM read_parquet({literal(str(again))}) AS a JOIN kept ON kept.part = a.row_id "
            f"JOIN read_parquet({table}) AS f ON f.row_id = kept.whole"
        ).fetchone()
    assert found is not None
    total, changed = int(found[0]), int(found[1])
    worst = max(zip(windowed, found[2:], strict=True), key=lambda pair: int(pair[1]))
    return judged(
        "leakage", name, changed / max(total, 1), interval=wilson(changed, total), maximum=limit, n=total,
        why=f"{worst[0]} changes in {int(worst[1]):,} of {total:,} rows" if changed
        else f"{len(windowed)} features of {total:,} rows stay as they were",
    )  # fmt: skip
