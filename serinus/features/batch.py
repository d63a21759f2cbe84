"""The batch engine: point-in-time features of a whole file, by DuckDB.

Every aggregate is a RANGE window over integer microseconds, so that the bounds
are exact and ties fall out of their own past. A window reads *event* times; an
event that had not yet arrived when the row was scored must not count. Rows with
such an event in reach are found by one more window (the latest arrival among
the past events) and only those are computed again, by a join that compares
arrivals: few rows where events come late, none where the contract has no arrival.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb

from serinus.contract import Contract, Feature
from serinus.errors import SerinusError
from serinus.features.plan import NIGHT_ENDS, Plan, Windowed, plan
from serinus.features.values import identifier_sql, label_sql, literal, quote

META = ("row_id", "event_id", "event_time", "label")
"""Columns before the features: 0-based row of the source, event id (text or null),
event time (timestamp, UTC, or null), label (0, 1 or null). The protected columns follow."""

_FUNCTIONS = {"count": "count", "sum": "sum", "mean": "avg", "min": "min", "max": "max", "std": "stddev_samp"}
_PARTS = {
    "day": "date_diff('day', DATE '1970-01-01', CAST({} AS DATE))",
    "hour": "hour({})",
    "weekday": "isodow({}) - 1",
    "is_weekend": "isodow({}) >= 6",  # of an absent time: absent, not "no weekend"
    "is_night": f"hour({{}}) < {NIGHT_ENDS}",
}


@dataclass(frozen=True)
class FeatureTable:
    """What ``compute_features`` wrote: its path, rows, rows dropped as duplicates
    of an event id, and rows computed again because an event in reach came late."""

    path: Path
    rows: int
    duplicates: int
    late: int


def compute_features(
    contract: Contract,
    source: Path,
    out: Path,
    *,
    memory_limit: str = "4GB",
    threads: int = 2,
) -> FeatureTable:
    """Compute the contract's features of every record.

    Args:
        contract: declares the features.
        source: Parquet of typed records, as ``components.ingest`` writes it.
        out: Parquet to write: ``META``, the protected columns as text, then each
            feature under its name (category as text, all else double or null);
            rows in order of event time, then of the source; one row per event id.
        memory_limit, threads: DuckDB's; beyond the limit it spills beside ``out``.

    Raises:
        SerinusError: ``SRN-FEATURES-001`` a name of a feature or protected column
            is taken; ``-002`` the source cannot be read or lacks a column;
            ``-003`` a record without event time, where windows need one;
            ``-004`` the result cannot be written.
    """
    _check_names(contract)
    compiled = plan(contract)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".features-", dir=out.parent) as scratch:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "threads": threads,
            "temp_directory": scratch,
        }
        with duckdb.connect(f"{scratch}/base.duckdb", config=config) as connection:
            try:
                return _run(connection, contract, compiled, source, out, Path(scratch) / "out.parquet")
            except (duckdb.IOException, duckdb.OutOfMemoryException, OSError) as error:
                raise SerinusError(
                    "SRN-FEATURES-004",
                    f"the features cannot be written ({str(error).splitlines()[0]})",
                    where=str(out),
                    hint="Free some disk space there or raise the memory limit, then run again.",
                ) from error


def _check_names(contract: Contract) -> None:
    taken = set(META) | {protected.column for protected in contract.protected}
    clash = sorted(taken & set(contract.feature_names))
    clash += sorted({protected.column for protected in contract.protected} & set(META))
    if clash:
        raise SerinusError(
            "SRN-FEATURES-001",
            f"the name {clash[0]} is taken by a column that every feature table has",
            where=contract.name,
            hint=f"Rename that feature or column in the contract; taken are {', '.join(sorted(taken))}.",
        )


def _run(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    compiled: Plan,
    source: Path,
    out: Path,
    partial: Path,
) -> FeatureTable:
    duplicates = _load(connection, contract, compiled, source)
    _check_times(connection, contract, compiled, source)
    affected = {entity: _affected(connection, compiled, entity) for entity in compiled.entities}
    joins: list[str] = []
    again = {}
    for entity, count in affected.items():
        if count:
            again[entity] = f"fix_{len(joins)}"
            _recompute(connection, compiled, entity, again[entity])
            joins.append(f"LEFT JOIN {again[entity]} USING (row_id)")
    columns = ["row_id", "event_id", "event_time", "label"]
    columns += [
        quote(f"p:{protected.column}") + f" AS {quote(protected.column)}" for protected in contract.protected
    ]
    by_name = {item.name: item for item in compiled.windowed}
    for feature in contract.features:
        columns.append(f"{_feature(feature, by_name, again)} AS {quote(feature.name)}")
    windows = ["*"]
    windows += [f"{_over(item, compiled)} AS {quote('w:' + item.name)}" for item in compiled.windowed]
    connection.execute(
        f"COPY (SELECT {', '.join(columns)} "
        f"FROM (SELECT {', '.join(windows)} FROM base {_window_clause(compiled)}) "
        f"{' '.join(joins)} ORDER BY t, row_id) TO {literal(str(partial))} (FORMAT parquet, COMPRESSION zstd)"
    )
    rows = _scalar(connection, "SELECT count(*) FROM base")
    os.replace(partial, out)
    return FeatureTable(out, rows, duplicates, sum(affected.values()))


def _load(connection: duckdb.DuckDBPyConnection, contract: Contract, compiled: Plan, source: Path) -> int:
    """Create ``base``: one row per event, keys as text, values as double, times in microseconds."""
    event = contract.event
    time = f"epoch_us(CAST({quote(event.time)} AS TIMESTAMP))" if event.time else "CAST(NULL AS BIGINT)"
    arrival = f"epoch_us(CAST({quote(event.arrival)} AS TIMESTAMP))" if event.arrival else time
    columns = [
        "file_row_number AS row_id",
        f"{identifier_sql(quote(event.id)) if event.id else 'CAST(NULL AS VARCHAR)'} AS event_id",
        f"CAST({quote(event.time) if event.time else 'NULL'} AS TIMESTAMP) AS event_time",
        f"{label_sql(quote(contract.label.column), contract.label)} AS label",
        f"{time} AS t",
        f"greatest({time}, coalesce({arrival}, {time})) AS a",
    ]
    columns += [f"CAST({quote(p.column)} AS VARCHAR) AS {quote(f'p:{p.column}')}" for p in contract.protected]
    columns += [
        f"{identifier_sql(quote(contract.entity(entity).column))} AS {quote('k:' + entity)}"
        for entity in compiled.entities
    ]
    for column in compiled.values:
        is_label = column == contract.label.column
        value = f"CAST({label_sql(quote(column), contract.label)} AS DOUBLE)" if is_label else _number(column)
        columns.append(f"{value} AS {quote('v:' + column)}")
    for feature in compiled.direct:
        assert feature.column is not None
        value = f"CAST({quote(feature.column)} AS VARCHAR)" if contract.is_categorical(feature) else None
        columns.append(f"{value or _number(feature.column)} AS {quote('d:' + feature.name)}")
    for feature in compiled.parts:
        assert feature.column is not None
        assert feature.part is not None
        moment = f"CAST({quote(feature.column)} AS TIMESTAMP)"
        columns.append(
            f"CAST({_PARTS[feature.part].format(moment)} AS DOUBLE) AS {quote('d:' + feature.name)}"
        )
    try:
        connection.execute(
            f"CREATE TABLE base AS SELECT {', '.join(columns)} "
            f"FROM read_parquet({literal(str(source))}, file_row_number = true)"
        )
    except (duckdb.BinderException, duckdb.InvalidInputException, duckdb.ConversionException) as error:
        raise _unreadable(source, error) from error
    except duckdb.IOException as error:
        if "No space" in str(error):
            raise
        raise _unreadable(source, error) from error
    if not event.id:
        return 0
    rows = _scalar(connection, "SELECT count(event_id) FROM base")
    if _scalar(connection, "SELECT count(DISTINCT event_id) FROM base") == rows:
        return 0
    connection.execute(
        "CREATE TABLE extra AS SELECT row_id FROM base WHERE event_id IS NOT NULL "
        "QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY a, t, row_id) > 1"
    )
    connection.execute("DELETE FROM base WHERE row_id IN (SELECT row_id FROM extra)")
    return _scalar(connection, "SELECT count(*) FROM extra")


def _unreadable(source: Path, error: Exception) -> SerinusError:
    return SerinusError(
        "SRN-FEATURES-002",
        f"the records cannot be read as the contract describes them ({str(error).splitlines()[0]})",
        where=str(source),
        hint="Give the Parquet that ingest wrote with this same contract; if in doubt, ingest again.",
    )


def _check_times(
    connection: duckdb.DuckDBPyConnection, contract: Contract, compiled: Plan, source: Path
) -> None:
    if not compiled.windowed:
        return
    found = connection.execute("SELECT count(*), min(row_id) FROM base WHERE t IS NULL").fetchone()
    assert found is not None
    if found[0]:
        raise SerinusError(
            "SRN-FEATURES-003",
            f"{found[0]:,} records have no {contract.event.time}, and windows need the time of every event",
            where=f"{source} row {found[1] + 1:,}",
            hint="Drop or mend these records in the source.",
        )


def _number(column: str) -> str:
    value = f"CAST({quote(column)} AS DOUBLE)"
    return f"CASE WHEN isfinite({value}) THEN {value} END"


def _window_clause(compiled: Plan) -> str:
    clauses: list[str] = []
    for index, frame in enumerate(compiled.frames):
        clauses.append(
            f"w{index} AS (PARTITION BY {quote('k:' + frame.entity)} ORDER BY t "
            f"RANGE BETWEEN {frame.reach} PRECEDING AND {frame.delay + 1} PRECEDING)"
        )
    return "WINDOW " + ", ".join(clauses) if clauses else ""


def _over(item: Windowed, compiled: Plan) -> str:
    return f"{_call(item)} OVER w{compiled.frames.index(item.frame)}"


def _call(item: Windowed) -> str:
    return f"{_FUNCTIONS[item.aggregate]}({'*' if item.column is None else quote('v:' + item.column)})"


def _feature(feature: Feature, windowed: dict[str, Windowed], again: dict[str, str]) -> str:
    """The final expression: the window's value, the recomputed one where there is
    one, and for an event without that entity what an empty window gives."""
    if feature.name not in windowed:
        return quote("d:" + feature.name)
    item = windowed[feature.name]
    value = quote("w:" + item.name)
    if item.frame.entity in again:
        fix = again[item.frame.entity]
        value = f"CASE WHEN {fix}.affected THEN {fix}.{quote('f:' + item.name)} ELSE {value} END"
    value = f"CASE WHEN {quote('k:' + item.frame.entity)} IS NULL THEN NULL ELSE {value} END"
    if item.aggregate in ("count", "sum"):
        value = f"coalesce({value}, 0)"
    return f"CAST({value} AS DOUBLE)"


def _affected(connection: duckdb.DuckDBPyConnection, compiled: Plan, entity: str) -> int:
    """List an entity's affected rows: some event in reach arrived after the row's time."""
    connection.execute(f"CREATE OR REPLACE TABLE {quote('late:' + entity)} (row_id BIGINT)")
    if not _scalar(connection, "SELECT count(*) FROM base WHERE a > t"):
        return 0
    frames = [item.frame for item in compiled.of(entity)]
    reach, nearest = compiled.reach(entity), min(frame.delay for frame in frames)
    connection.execute(
        f"INSERT INTO {quote('late:' + entity)} SELECT row_id FROM ("
        f"SELECT row_id, t, max(a) OVER (PARTITION BY {quote('k:' + entity)} ORDER BY t "
        f"RANGE BETWEEN {reach} PRECEDING AND {nearest + 1} PRECEDING) AS latest FROM base "
        f"WHERE {quote('k:' + entity)} IS NOT NULL) WHERE latest > t"
    )
    return _scalar(connection, f"SELECT count(*) FROM {quote('late:' + entity)}")


def _recompute(connection: duckdb.DuckDBPyConnection, compiled: Plan, entity: str, table: str) -> None:
    """Compute the affected rows' aggregates from the events that had arrived, by a join."""
    key = quote("k:" + entity)
    calls: list[str] = []
    for item in compiled.of(entity):
        value = "past.row_id" if item.column is None else f"past.{quote('v:' + item.column)}"
        inside = f"past.t >= now.t - {item.frame.reach} AND past.t < now.t - {item.frame.delay}"
        calls.append(
            f"{_FUNCTIONS[item.aggregate]}({value}) FILTER (WHERE {inside}) AS {quote('f:' + item.name)}"
        )
    connection.execute(
        f"CREATE TABLE {table} AS SELECT now.row_id, true AS affected, {', '.join(calls)} "
        f"FROM base AS now JOIN {quote('late:' + entity)} AS late ON late.row_id = now.row_id "
        f"LEFT JOIN base AS past ON past.{key} = now.{key} AND past.t < now.t "
        f"AND past.t >= now.t - {compiled.reach(entity)} AND past.a <= now.t GROUP BY now.row_id"
    )


def _scalar(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row and row[0] is not None else 0
