"""What sections share: the gate's demands as a table, and what they come to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from serinus.papers.document import Block, Cell, Column, Facts, Kind, Section, Table, Text, Verdict, printed
from serinus.papers.evidence import Demand, Evidence

REPORTED = "reported"
_INTERVAL = re.compile(r"^95 %: \S+ to \S*[^\s;,](?:[;,]\s+|\s+|[;,]?$)")
"""The interval in front of a gate's note; its figures may have commas of their own (370,370)."""


def demands_of(evidence: Evidence, section: int) -> list[Demand]:
    """The gate's demands that belong to a section."""
    return [demand for demand in evidence.demands if demand.section == section]


def demands_table(demands: Sequence[Demand]) -> list[Block]:
    """The demands with value, interval, limit and verdict; nothing where there are none."""
    if not demands:
        return []
    ranged = any(d.low is not None for d in demands)
    counted = any(d.n is not None for d in demands)
    columns = [Column("Demand", "name"), Column("Value", "number")]
    columns += [Column("95 % interval", "interval")] if ranged else []
    columns += [Column("n", "count")] if counted else []
    columns += [Column("Limit", "name"), Column("Verdict", "verdict"), Column("Note")]
    rows: list[tuple[Cell, ...]] = []
    for d in demands:
        cells: list[Cell] = [d.metric, d.value]
        cells += [(d.low, d.high) if d.low is not None and d.high is not None else ""] if ranged else []
        cells += [d.n if d.n is not None else ""] if counted else []
        cells += ["none" if d.threshold == REPORTED else d.threshold, _verdict(d), _note(d, ranged) or d.what]
        rows.append(tuple(cells))
    return [Table("What was demanded", tuple(columns), tuple(rows))]


def _note(demand: Demand, ranged: bool) -> str:
    """The note without the interval, where that has a column of its own."""
    return _INTERVAL.sub("", demand.note) if ranged else demand.note


def _verdict(demand: Demand) -> str:
    if demand.threshold == REPORTED and demand.verdict == "pass":
        return "recorded"
    if demand.verdict == "fail" and not demand.blocks:
        return "attention"
    return demand.verdict


def judged(demands: Sequence[Demand]) -> Verdict:
    """Fail before attention before pass; not measured where nothing was; recorded where nothing has a limit."""
    found = {_verdict(demand) for demand in demands if demand.threshold != REPORTED}
    for verdict in ("fail", "attention", "pass"):
        if verdict in found:
            return verdict
    return "recorded" if found <= {"recorded"} else "no_data"


def said(demands: Sequence[Demand]) -> str:
    """The verdict in a sentence, with what did not pass."""
    limited = [demand for demand in demands if demand.threshold != REPORTED]
    if not limited:
        return "Measured and shown; the policy sets no limit here." if demands else ""
    passed = sum(demand.verdict == "pass" for demand in limited)
    failed = [demand.metric for demand in limited if demand.verdict == "fail"]
    unknown = [demand.metric for demand in limited if demand.verdict not in ("pass", "fail")]
    parts = [f"{passed} of {len(limited)} demands are met"]
    parts += [f"not met: {', '.join(failed)}"] if failed else []
    parts += [f"not measurable: {', '.join(unknown)}"] if unknown else []
    return "; ".join(parts) + "."


def section(
    number: int,
    title: str,
    evidence: Evidence,
    blocks: Sequence[Block | None],
    *,
    missing: Sequence[str | None] = (),
    verdict: Verdict | None = None,
    why: str = "",
) -> Section:
    """A section with its demands in front. ``verdict`` and ``why`` stand in for what the demands come to.

    A section without any block says so: none is ever empty.
    """
    demands = demands_of(evidence, number)
    shown = [*demands_table(demands), *(block for block in blocks if block is not None)]
    absent = tuple(item for item in missing if item)
    found = verdict or (judged(demands) if demands else "recorded" if shown else "no_data")
    sentence = " ".join(part for part in (why, said(demands)) if part)
    if not shown and not sentence:
        sentence = "Nothing of this was measured in this run."
    return Section(
        number=number, title=title, verdict=found, why=sentence, blocks=tuple(shown), missing=absent
    )


def table_of(title: str, rows: Sequence[dict[str, Any]], note: str = "") -> Table | None:
    """Any list of like objects as a table, columns by their keys: what a report holds beside what we know of it.

    Text comes first, then what is counted, then the rest; ``low`` and ``high``, or ``x_low`` and ``x_high``, become
    one column, behind ``x``.
    """
    plain = [row for row in rows if isinstance(row, dict)]
    if not plain:
        return None
    names = [name for name in plain[0] if all(_plain(row.get(name)) for row in plain)]
    ends = {name for name in names if name.endswith(("low", "high"))}
    stems = sorted({n.removesuffix("low") for n in ends} & {n.removesuffix("high") for n in ends})
    paired = {stem + end for stem in stems for end in ("low", "high")}
    single = sorted(
        (n for n in names if n not in paired), key=lambda n: _order(n, [row.get(n) for row in plain])
    )
    columns: list[Column] = []
    cells: list[list[Cell]] = [[] for _ in plain]

    def interval(stem: str) -> None:
        columns.append(Column("95 % interval", "interval"))
        for row, cell in zip(plain, cells, strict=True):
            cell.append((row.get(stem + "low"), row.get(stem + "high")))

    for name in single:
        values = [row.get(name) for row in plain]
        columns.append(Column(_title(name), "verdict" if name == "verdict" else _kind(values)))
        for value, cell in zip(values, cells, strict=True):
            cell.append(str(value).lower() if isinstance(value, bool) else value)
        if name + "_" in stems:
            interval(name + "_")
    for stem in stems:
        if stem.removesuffix("_") not in single:
            interval(stem)
    return Table(title, tuple(columns), tuple(tuple(cell) for cell in cells), note) if columns else None


_COUNTS = ("fit", "n", "rows", "entities", "bad")


def _order(name: str, values: Sequence[Any]) -> tuple[int, int, str]:
    text = any(isinstance(value, str) for value in values)
    return (0 if text else 1, _COUNTS.index(name) if name in _COUNTS else len(_COUNTS), name)


def _kind(values: Sequence[Any]) -> Kind:
    known = [value for value in values if value is not None]
    return (
        "number"
        if known and all(isinstance(v, int | float) and not isinstance(v, bool) for v in known)
        else "text"
    )


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


KNOWN = {"items", "grades", "psi", "psi_over_time", "periods", "scenarios", "inputs", "curves", "shocks"}
"""Tables of the challenge that have a form of their own here."""
_PLACES = (
    ("leak", 2), ("segment", 4), ("migrat", 6), ("retrain", 6), ("split", 7), ("missing", 7), ("champion", 8),
    ("swap", 8), ("latency", 12),
)  # fmt: skip


def extras(e: Evidence, number: int) -> list[Block]:
    """Tables that the challenge holds beyond those known here, each under its own name, in the section that the name
    tells; what no section claims stands with stability. So a new test is in the report before the report knows it."""
    found: list[Block] = []
    for name, rows in sorted(e.challenge.items()):
        if name in KNOWN or not isinstance(rows, list):
            continue
        place = next((section for word, section in _PLACES if word in name), 6)
        if place == number and (table := table_of(_title(name), rows)):
            found.append(table)
    return found


def everything(report: dict[str, Any]) -> list[Block]:
    """A whole report as facts and tables, its items apart: those are demands, and stand in front."""
    scalars = {k: v for k, v in report.items() if v is not None and _plain(v) and not isinstance(v, bool)}
    found: list[Block] = [Facts(tuple((_title(k), _said(v)) for k, v in scalars.items()))] if scalars else []
    for name, value in sorted(report.items()):
        if name == "items":
            continue
        if isinstance(value, dict):
            inner = tuple((_title(k), _said(v)) for k, v in value.items() if _plain(v) and v is not None)
            found += [Text(_title(name), "heading"), Facts(inner)] if inner else []
        elif isinstance(value, list) and (table := table_of(_title(name), value)):
            found.append(table)
    return found


def _said(value: Any) -> str:
    return printed(value, "number") if isinstance(value, int | float) else str(value)


_ABBREVIATED = {"auc", "citl", "ece", "ks", "psi", "sd"}


def _title(name: str) -> str:
    words = [word.upper() if word in _ABBREVIATED else word for word in name.split("_")]
    return words[0][:1].upper() + words[0][1:] + "".join(f" {word}" for word in words[1:])
