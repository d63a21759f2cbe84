"""Whether the records as a whole are what the contract says: beyond single values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from components.step import Summary, read_contract, write_json
from components.table import quote
from serinus.contract import Column, Contract
from serinus.errors import SerinusError
from serinus.numerals import exact

MIN_ROWS = 100


def validate(contract: Path, records: Path, report: Path) -> Summary:
    """Profile the typed records and refuse what no model could be trained on.

    Ingest has checked each value; here the columns are checked as wholes.

    Args:
        contract, records: as ``components.ingest`` gives them (JSON, Parquet).
        report: JSON to write: rows, share of bad outcomes, and for each column missing,
            distinct, smallest and largest; ``notes`` are findings that do not stop.

    Raises:
        SerinusError: ``SRN-PIPELINE-030`` too few rows, a column breaks the contract's
            range, missing policy or categories, or an event id repeats nothing but itself.
    """
    checked = read_contract(contract)
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(
            f"CREATE VIEW records AS SELECT * FROM read_parquet('{str(records).replace(chr(39), chr(39) * 2)}')"
        )
        present = [row[0] for row in connection.execute("DESCRIBE records").fetchall()]
        rows = int(_one(connection, "SELECT count(*) FROM records")[0])
        columns = {
            name: profile(connection, name, column)
            for name, column in checked.columns.items()
            if name in present
        }
    problems, notes = judge(checked, rows, columns, present)
    write_json(report, {"rows": rows, "columns": columns, "problems": problems, "notes": notes})
    if problems:
        raise SerinusError(
            "SRN-PIPELINE-030",
            "; ".join(problems),
            where="the records",
            hint="Mend the data at their source, or the contract if it is the contract that is wrong.",
        )
    return {"rows": f"{rows:,}", "columns": len(columns), "notes": len(notes)}


def profile(connection: duckdb.DuckDBPyConnection, name: str, column: Column) -> dict[str, Any]:
    """Missing and distinct values, and the extent, of one column of the view ``records``."""
    value = quote(name)
    missing, distinct, low, high = _one(
        connection,
        f"SELECT count(*) - count({value}), approx_count_distinct({value}), min({value}), max({value}) FROM records",
    )
    unknown: list[str] = []
    if column.categories is not None:
        marks = ", ".join("?" * len(column.categories))
        found = connection.execute(
            f"SELECT DISTINCT CAST({value} AS VARCHAR) FROM records WHERE CAST({value} AS VARCHAR) NOT IN ({marks}) "
            "ORDER BY 1 LIMIT 5",
            list(column.categories),
        ).fetchall()
        unknown = [row[0] for row in found]
    return {
        "missing": int(missing),
        "distinct": int(distinct),
        "min": low if isinstance(low, int | float) else None if low is None else str(low),
        "max": high if isinstance(high, int | float) else None if high is None else str(high),
        "unknown_levels": unknown,
    }


def judge(
    contract: Contract, rows: int, columns: dict[str, dict[str, Any]], present: list[str]
) -> tuple[list[str], list[str]]:
    """Problems, which stop, and notes, which do not."""
    problems = [f'column "{name}" is absent' for name in contract.columns if name not in present]
    if rows < MIN_ROWS:
        problems.append(f"there are {rows:,} rows, and a model needs {MIN_ROWS} at the very least")
    notes: list[str] = []
    used = {feature.column for feature in contract.features}
    for name, found in columns.items():
        column = contract.columns[name]
        if found["missing"] and column.missing == "refuse" and name != contract.label.column:
            problems.append(f'column "{name}" lacks {found["missing"]:,} values, which its contract refuses')
        numeric = column.type in ("number", "integer")
        if numeric and column.min is not None and found["min"] is not None and found["min"] < column.min:
            problems.append(f'column "{name}" goes down to {exact(found["min"])}, below {exact(column.min)}')
        if numeric and column.max is not None and found["max"] is not None and found["max"] > column.max:
            problems.append(f'column "{name}" goes up to {exact(found["max"])}, above {exact(column.max)}')
        if found["unknown_levels"]:
            text = f'column "{name}" has levels that the contract does not list: {", ".join(found["unknown_levels"])}'
            (problems if column.unknown == "refuse" else notes).append(text)
        if found["distinct"] <= 1 and name in used and rows:
            notes.append(f'column "{name}" has one value only and tells a model nothing')
        if rows and found["missing"] > rows / 2:
            notes.append(f'column "{name}" is missing in {found["missing"] / rows:.0%} of the rows')
    return problems, notes


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row
