"""The records of the demo: cut in time, streamed as live traffic, and shifted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb

from serinus.contract import Contract
from serinus.durations import parse_duration
from serinus.features.stream import FeatureStream


def order(contract: Contract, seed: int) -> str:
    """SQL that orders records: by event time, else by a seeded hash of their position."""
    if contract.event.time:
        return f'"{contract.event.time}"'
    return f"hash(file_row_number + {seed})"


def cut(contract: Contract, records: Path, history: Path, live: Path, *, share: float, seed: int) -> None:
    """Split typed records into the past that is trained on and the live rest (the last ``share``)."""
    con = duckdb.connect()
    con.execute("SET threads = 2")
    source = f"read_parquet('{_quoted(records)}', file_row_number = true)"
    row = con.execute(f"SELECT count(*) FROM {source}").fetchone()
    assert row is not None
    first = int(row[0] * (1 - share))
    con.execute(
        f"CREATE TEMP TABLE ordered AS SELECT * EXCLUDE (file_row_number), "
        f"row_number() OVER (ORDER BY {order(contract, seed)}) AS _place FROM {source}"
    )
    for path, condition in ((history, f"_place <= {first}"), (live, f"_place > {first}")):
        con.execute(
            f"COPY (SELECT * EXCLUDE (_place) FROM ordered WHERE {condition} ORDER BY _place) "
            f"TO '{_quoted(path)}' (FORMAT parquet)"
        )
    con.close()


def shift(contract: Contract, records: Path, out: Path, column: str, factor: float) -> None:
    """The same records with one column inflated, within what the contract allows: a price
    rise, or a new kind of customer."""
    declared = contract.columns[column]
    value = f'"{column}" * {factor}'
    if declared.max is not None:
        value = f"least({value}, {declared.max})"
    kind = "BIGINT" if declared.type == "integer" else "DOUBLE"
    duckdb.execute(
        f'COPY (SELECT * REPLACE (CAST({value} AS {kind}) AS "{column}") '
        f"FROM read_parquet('{_quoted(records)}')) TO '{_quoted(out)}' (FORMAT parquet)"
    )


def join(parts: list[Path], out: Path) -> None:
    """One file of several, in their order."""
    files = ", ".join(f"'{_quoted(p)}'" for p in parts)
    duckdb.execute(
        f"COPY (SELECT * FROM read_parquet([{files}], union_by_name = true)) TO '{_quoted(out)}' (FORMAT parquet)"
    )


def rows(path: Path, where: str = "") -> Iterator[dict[str, Any]]:
    """Records as mappings, in file order, read a batch at a time."""
    cursor = duckdb.connect().execute(f"SELECT * FROM read_parquet('{_quoted(path)}') {where}")
    names = [item[0] for item in cursor.description or ()]
    while batch := cursor.fetchmany(2048):
        for values in batch:
            yield dict(zip(names, values, strict=True))


def warm_stream(contract: Contract, history: Path) -> FeatureStream:
    """A stream that knows as much of the past as its windows reach back, labels included."""
    stream = FeatureStream(contract)
    reach = max(
        (
            parse_duration(f.window or "0s") + parse_duration(f.delay)
            for f in contract.features
            if f.aggregate
        ),
        default=0.0,
    )
    if not reach:
        return stream
    time = contract.event.time
    source = f"read_parquet('{_quoted(history)}')"
    since = f'(SELECT max("{time}") FROM {source}) - INTERVAL {int(reach) + 1} SECOND'
    stream.warm(rows(history, f'WHERE "{time}" >= {since}'))
    return stream


def live_features(
    contract: Contract, stream: FeatureStream, records: Iterator[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Each record's features as known the moment before it, then the record enters the stream."""
    for record in records:
        yield stream.features(record)
        stream.update(record)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
