"""A file of records to typed Parquet, refused with every reason at once if it breaks the contract."""

from __future__ import annotations

import difflib
import os
import tempfile
from pathlib import Path

import duckdb
import msgspec

from components.ingest.check import find_problems, refusal
from components.ingest.source import Source, damaged, digest, empty, not_utf8, open_source, selection
from components.ingest.typing import FORMATS, ISO, present_sql, swapped, timestamp_sql, typed_sql, word_sql
from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.features.values import label_sql, literal, quote


class IngestReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was read. ``digest`` is of the source file's bytes; ``first`` and
    ``last`` are event times in ISO 8601 (UTC), None without an event time;
    ``missing`` counts absent values by column; ``dropped`` are columns that
    the contract does not know; ``duplicates`` are records whose event id had
    occurred (features count the first arrival only); ``time_formats`` says how
    each timestamp column was read."""

    source: str
    digest: str
    out: str
    rows: int
    columns: tuple[str, ...]
    dropped: tuple[str, ...]
    missing: dict[str, int]
    first: str | None
    last: str | None
    labelled: int
    positives: int
    duplicates: int
    time_formats: dict[str, str]


def ingest(
    source: Path,
    contract: Contract,
    out: Path,
    *,
    memory_limit: str = "4GB",
    threads: int = 2,
) -> IngestReport:
    """Read, check and type a file; write ``out`` only if all of it keeps the contract.

    Args:
        source: ``.csv``, ``.csv.gz`` (comma, semicolon, tab or bar; a header; UTF-8) or ``.parquet``.
        contract: says what its columns mean; columns that it does not name are dropped.
        out: Parquet: number as double, integer as bigint, boolean, timestamp
            (UTC, microseconds), category and id as text, in the order of the source.

    Raises:
        SerinusError: ``SRN-CONTRACT-003`` values break the contract;
            ``SRN-DATA-001`` to ``-009``: docs/errors/data.md.
    """
    opened = open_source(source, contract.columns)
    _check_columns(opened, contract)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".ingest-", dir=out.parent) as scratch:
            config: dict[str, str | bool | int | float | list[str]] = {
                "memory_limit": memory_limit,
                "threads": threads,
                "temp_directory": scratch,
            }
            with duckdb.connect(f"{scratch}/raw.duckdb", config=config) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                return _run(connection, opened, contract, out, Path(scratch) / "out.parquet")
    except (duckdb.OutOfMemoryException, duckdb.IOException, OSError) as error:
        raise SerinusError(
            "SRN-DATA-009",
            f"the typed records cannot be written ({str(error).splitlines()[0]})",
            where=str(out),
            hint="Free some disk space there, or give another place to write to.",
        ) from error


def _check_columns(source: Source, contract: Contract) -> None:
    absent = [name for name in contract.columns if name not in source.columns]
    if not absent:
        return
    near: list[str] = []
    for name in absent:
        lower = {column.lower(): column for column in source.columns}
        close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.75)
        if close:
            near.append(f'"{lower[close[0]]}" for {name}')
    guess = f" Did you mean {', '.join(near)}?" if near else ""
    raise SerinusError(
        "SRN-DATA-004",
        f"missing column{'s' if len(absent) > 1 else ''} {', '.join(absent)}; "
        f"the file has {', '.join(source.columns[:30])}{', …' if len(source.columns) > 30 else ''}",
        where=f"{source.path}{' line 1' if source.delimiter else ''}",
        hint=f"Rename the columns in the file or in the contract of {contract.name}.{guess}",
    )


def _run(
    connection: duckdb.DuckDBPyConnection, source: Source, contract: Contract, out: Path, partial: Path
) -> IngestReport:
    names = tuple(contract.columns)
    _stage(connection, source, names)
    rows = _row(connection, "SELECT count(*) FROM raw")[0]
    if not rows:
        raise empty(source.path)
    formats = {
        name: _time_format(connection, source, name)
        for name in names
        if contract.columns[name].type == "timestamp"
    }
    label = contract.label.column
    if contract.columns[label].type in ("number", "integer"):
        word = word_sql(label)
        connection.execute(f"UPDATE raw SET {quote(label)} = {word} WHERE {word} <> {quote(label)}")
    problems = find_problems(connection, contract, names, formats)
    if problems:
        raise refusal(source, contract, problems)
    typed = ", ".join(
        f"{typed_sql(name, contract.columns[name], formats.get(name, ''))} AS {quote(name)}" for name in names
    )
    connection.execute(
        f"COPY (SELECT {typed} FROM raw ORDER BY n) "
        f"TO {literal(str(partial))} (FORMAT parquet, COMPRESSION zstd)"
    )
    labelled, positives = _labels(connection, source, contract, partial)
    report = _report(connection, source, contract, out, partial, rows, labelled, positives, formats)
    os.replace(partial, out)
    return report


def _stage(connection: duckdb.DuckDBPyConnection, source: Source, names: tuple[str, ...]) -> None:
    """Create ``raw``: the contract's columns as text, numbered in the order of the file."""
    try:
        connection.execute(
            f"CREATE TABLE raw AS SELECT row_number() OVER () AS n, {selection(source, names)} "
            f"FROM {source.relation()}"
        )
    except duckdb.InvalidInputException as error:
        raise _malformed(source, str(error)) from error
    except duckdb.IOException as error:
        if "No space" in str(error) or "write" in str(error).lower():
            raise
        raise damaged(source.path, error) from error
    except (duckdb.ConversionException, duckdb.InternalException, duckdb.SerializationException) as error:
        raise damaged(source.path, error) from error


_SAID = ("Expected", "Value with", "Maximum", "The quote")  # how its explanations begin


def _malformed(source: Source, message: str) -> SerinusError:
    """DuckDB's account of a line that is not CSV, in our words."""
    text = message.split("\n")
    number = next((line.rsplit(":", 1)[1].strip() for line in text if "Error on Line" in line), "")
    detail = next((line.strip() for line in text if line.startswith(_SAID)), "it cannot be split into values")
    if "unicode" in message.lower():
        return not_utf8(source.path, f" at line {int(number):,}" if number.isdigit() else "")
    if not number.isdigit():
        return damaged(source.path, text[0])
    return SerinusError(
        "SRN-DATA-006",
        f"the line is not a record of {len(source.columns)} columns ({detail})",
        where=f"{source.path} line {int(number):,}",
        hint='Mend that line; a value that holds the delimiter must stand in "double quotes".',
    )


def _time_format(connection: duckdb.DuckDBPyConnection, source: Source, name: str) -> str:
    """ISO 8601, unless another known format reads more of the column."""
    text = present_sql(name)
    present, iso = _row(connection, f"SELECT count({text}), count({timestamp_sql(text, ISO)}) FROM raw")
    if iso == present:
        return ISO
    counts = _row(
        connection, "SELECT " + ", ".join(f"count({timestamp_sql(text, f)})" for f in FORMATS) + " FROM raw"
    )
    best = max(counts)
    if best <= iso:
        return ISO
    chosen = [time_format for time_format, count in zip(FORMATS, counts, strict=True) if count == best]
    if any(swapped(chosen[0], other) for other in chosen[1:]):
        raise SerinusError(
            "SRN-DATA-008",
            f"{name} may be read with the day or with the month first, and nothing in the file decides it",
            where=str(source.path),
            hint="Write the dates as 2026-01-31.",
        )
    return chosen[0]


def _labels(
    connection: duckdb.DuckDBPyConnection, source: Source, contract: Contract, typed: Path
) -> tuple[int, int]:
    """Known and positive labels; none positive is an error, for a model cannot learn from it."""
    column = contract.label.column
    label = label_sql(quote(column), contract.label)
    table = f"read_parquet({literal(str(typed))})"
    labelled, positives = _row(connection, f"SELECT count({label}), coalesce(sum({label}), 0) FROM {table}")
    if positives:
        return labelled, int(positives)
    held = connection.execute(
        f"SELECT CAST({quote(column)} AS VARCHAR), count(*) FROM {table} GROUP BY 1 ORDER BY 2 DESC LIMIT 5"
    ).fetchall()
    values = ", ".join(
        f'"{value}" ({count:,})' if value is not None else f"empty ({count:,})" for value, count in held
    )
    raise SerinusError(
        "SRN-DATA-010",
        f'no record has the positive label: {column} is never "{contract.label.positive}" but {values}',
        where=str(source.path),
        hint="Set label.positive in the contract to the value of the bad outcome, or give another file.",
    )


def _report(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    contract: Contract,
    out: Path,
    typed: Path,
    rows: int,
    labelled: int,
    positives: int,
    formats: dict[str, str],
) -> IngestReport:
    names, event = tuple(contract.columns), contract.event
    table = f"read_parquet({literal(str(typed))})"
    missing = _row(
        connection, "SELECT " + ", ".join(f"count(*) - count({quote(n)})" for n in names) + f" FROM {table}"
    )
    times: tuple[str | None, ...] = (None, None)
    if event.time:
        iso = "strftime({}({}), '%Y-%m-%dT%H:%M:%S.%fZ')"
        times = _row(
            connection,
            f"SELECT {', '.join(iso.format(f, quote(event.time)) for f in ('min', 'max'))} FROM {table}",
        )
    duplicates = 0
    if event.id:
        duplicates = _row(
            connection, f"SELECT count({quote(event.id)}) - count(DISTINCT {quote(event.id)}) FROM {table}"
        )[0]
    return IngestReport(
        source=str(source.path),
        digest=digest(source.path),
        out=str(out),
        rows=rows,
        columns=names,
        dropped=tuple(column for column in source.columns if column not in contract.columns),
        missing=dict(zip(names, missing, strict=True)),
        first=times[0],
        last=times[1],
        labelled=labelled,
        positives=positives,
        duplicates=duplicates,
        time_formats=formats,
    )


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row
