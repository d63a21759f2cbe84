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
    """How often one column breaks the contract, and where first: row (1-based) and text."""

    column: str
    expected: str
    count: int
    examples: tuple[tuple[int, str | None], ...]


def condition(contract: Contract, name: str, time_format: str) -> str:
    """When a value of the column breaks the contract, as a DuckDB condition ("" if nothing does)."""
    column = contract.columns[name]
    text, typed = present_sql(name), typed_sql(name, column, time_format)
    broken: list[str] = []
    if column.type not in ("category", "id"):
        broken.append(f"({text} IS NOT NULL AND {typed} IS NULL)")
    if column.min is not None:
        broken.append(f"{typed} < {column.min!r}")
    if column.max is not None:
        broken.append(f"{typed} > {column.max!r}")
    if column.categories is not None:
        broken.append(f"{text} NOT IN ({', '.join(map(literal, column.categories))})")
    if refuses_missing(contract, name):
        broken.append(f"{text} IS NULL")
    return " OR ".join(broken)


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
    asked = {name: condition(contract, name, formats.get(name, "")) for name in names}
    asked = {name: broken for name, broken in asked.items() if broken}
    if not asked:
        return []
    counts = connection.execute(
        "SELECT " + ", ".join(f"count(*) FILTER (WHERE {broken})" for broken in asked.values()) + " FROM raw"
    ).fetchone()
    assert counts is not None
    found: list[Problem] = []
    for (name, broken), count in zip(asked.items(), counts, strict=True):
        if count:
            examples = connection.execute(
                f"SELECT n, {quote(name)} FROM raw WHERE {broken} ORDER BY n LIMIT {_SHOWN}"
            ).fetchall()
            found.append(Problem(name, expectation(contract.columns[name]), count, tuple(examples)))
    return sorted(found, key=lambda problem: problem.examples[0][0])


def refusal(source: Source, contract: Contract, problems: Sequence[Problem]) -> SerinusError:
    """One error that names the first problem in full and counts all of them by column."""
    places = lines(source, (row for problem in problems for row, _ in problem.examples))
    first = problems[0]
    row, value = first.examples[0]
    total = sum(problem.count for problem in problems)
    hint = ""
    if total > 1:
        columns = len(problems)
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
    return f"{problem.column}: {problem.count:,} ({examples}{more}); expected {problem.expected}"


def _shown(value: str | None) -> str:
    if value is None or value == "":
        return "empty"
    return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}…"'


def _remedy(column: Column, name: str) -> str:
    return (
        f"Mend these values in the source, or change the column in the contract of {name} if they are right."
    )
