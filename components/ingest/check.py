"""Finding every value that breaks the contract, counted, with the first few shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from components.ingest.source import Source, lines
from components.ingest.typing import expectation, present_sql, typed_sql
from serinus.contract import Column, Contract
from serinus.errors import SerinusError
from serinus.features.values import literal, quote

_SHOWN = 3


@dataclass(frozen=True)
class Problem:
    """One way in which one column breaks the contract: how often, and where first."""

    column: str
    expected: str
    count: int
    examples: tuple[tuple[int, str | None], ...]


def conditions(contract: Contract, name: str, time_format: str) -> dict[str, str]:
    """What is wrong with a value of the column, as DuckDB conditions by kind."""
    column = contract.columns[name]
    text, typed = present_sql(name), typed_sql(name, column, time_format)
    found: dict[str, str] = {}
    if column.type not in ("category", "id"):
        found["type"] = f"{text} IS NOT NULL AND {typed} IS NULL"
    limits: list[str] = []
    if column.min is not None:
        limits.append(f"{typed} < {column.min!r}")
    if column.max is not None:
        limits.append(f"{typed} > {column.max!r}")
    if limits:
        found["range"] = " OR ".join(limits)
    if column.categories is not None:
        levels = ", ".join(map(literal, column.categories))
        found["level"] = f"{text} IS NOT NULL AND {text} NOT IN ({levels})"
    if refuses_missing(contract, name):
        found["missing"] = f"{text} IS NULL"
    return found


def refuses_missing(contract: Contract, name: str) -> bool:
    """By the column's policy; the event time is always needed, for nothing can be ordered without it."""
    return contract.columns[name].missing == "refuse" or name == contract.event.time


def find_problems(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    names: Sequence[str],
    formats: Mapping[str, str],
) -> list[Problem]:
    """Every problem in the table ``raw``, those that stand first in the file first."""
    asked = [
        (name, kind, condition)
        for name in names
        for kind, condition in conditions(contract, name, formats.get(name, "")).items()
    ]
    if not asked:
        return []
    counts = connection.execute(
        "SELECT "
        + ", ".join(f"count(*) FILTER (WHERE {condition})" for _, _, condition in asked)
        + " FROM raw"
    ).fetchone()
    assert counts is not None
    found: list[Problem] = []
    for (name, kind, condition), count in zip(asked, counts, strict=True):
        if count:
            examples = connection.execute(
                f"SELECT n, {quote(name)} FROM raw WHERE {condition} ORDER BY n LIMIT {_SHOWN}"
            ).fetchall()
            expected = expectation(contract.columns[name], kind)
            found.append(Problem(name, expected, count, tuple(examples)))
    return sorted(found, key=lambda problem: problem.examples[0][0])


def refusal(source: Source, contract: Contract, problems: Sequence[Problem]) -> SerinusError:
    """One error that names the first problem in full and counts all of them by column."""
    places = lines(source, (row for problem in problems for row, _ in problem.examples))
    first = problems[0]
    row, value = first.examples[0]
    total = sum(problem.count for problem in problems)
    hint = ""
    if total > 1:
        columns = len({problem.column for problem in problems})
        listed = "".join(f"\n  {_line(source, problem, places)}" for problem in problems)
        hint = (
            f"{total:,} values in {columns} column{'s' if columns > 1 else ''} break the contract:{listed}\n"
        )
    hint += _remedy(contract.columns[first.column], contract.name)
    return SerinusError(
        "SRN-CONTRACT-003",
        f"{first.column} is {_shown(value)}; expected {first.expected}",
        where=f"{source.path} {source.unit} {places[row]:,}",
        hint=hint,
    )


def _line(source: Source, problem: Problem, places: Mapping[int, int]) -> str:
    examples = ", ".join(f"{source.unit} {places[row]:,} {_shown(value)}" for row, value in problem.examples)
    more = ", …" if problem.count > len(problem.examples) else ""
    return f"{problem.column}: {problem.count:,} not {problem.expected} ({examples}{more})"


def _shown(value: str | None) -> str:
    if value is None or value == "":
        return "empty"
    return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}…"'


def _remedy(column: Column, name: str) -> str:
    return (
        f"Mend these values in the source, or change the column in the contract of {name} if they are right."
    )
