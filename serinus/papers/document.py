"""What a paper is made of, before anybody decides how it looks. Plain values only, so that it is JSON as it stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec

from serinus.numerals import figure

Verdict = Literal["pass", "attention", "fail", "no_data", "recorded"]
"""``attention``: nothing that stops, something to be looked at; ``no_data``: not measured, which is neither a
pass nor a fail; ``recorded``: there is nothing to judge."""

VERDICTS: dict[str, str] = {
    "pass": "pass",
    "attention": "attention",
    "fail": "fail",
    "no_data": "not measured",
    "recorded": "recorded",
}
"""How a verdict reads."""

Kind = Literal["text", "name", "number", "count", "share", "interval", "verdict", "code"]
"""How a column's cells are printed: ``name`` is text without blanks (a feature), ``interval`` a pair of numbers,
``code`` a digest or a command."""

Cell = str | float | int | None | tuple[float | None, float | None]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Text(_Strict, frozen=True, tag="text"):
    """A paragraph. ``strong`` is for what must not be overlooked, ``small`` for what explains."""

    text: str
    style: Literal["plain", "strong", "small", "heading"] = "plain"


class Bullets(_Strict, frozen=True, tag="bullets"):
    """A list; ``numbered`` where the order says something."""

    items: tuple[str, ...]
    numbered: bool = False


class Facts(_Strict, frozen=True, tag="facts"):
    """What something is, line by line: a word and what it is."""

    rows: tuple[tuple[str, str], ...]


class Column(_Strict, frozen=True):
    """A column's heading and how its cells are printed."""

    title: str
    kind: Kind = "text"


class Table(_Strict, frozen=True, tag="table"):
    """Rows of cells as they were measured; None is a value that was not.

    ``note`` is what a reader must know to read it. A table without rows is a mistake: say instead why there are none.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError(f"the table {self.title!r} has no rows")
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"a row of {self.title!r} has not {len(self.columns)} cells")


class Figure(_Strict, frozen=True, tag="figure"):
    """A drawing as SVG text. ``alt`` says what it shows to whoever cannot see it; ``half`` sets two side by side."""

    title: str
    svg: str
    alt: str
    half: bool = False


Block = Text | Bullets | Facts | Table | Figure


class Section(_Strict, frozen=True, kw_only=True):
    """One section. ``why`` is its verdict in a sentence; ``missing`` says what one may look for and is not there."""

    title: str
    number: int | None = None
    verdict: Verdict | None = None
    why: str = ""
    blocks: tuple[Block, ...] = ()
    missing: tuple[str, ...] = ()


class Document(_Strict, frozen=True, kw_only=True):
    """A paper.

    Attributes:
        kind: ``validation``, ``card``, ``fairness``, ``notice``.
        subject: what it is about, for the head of each page: ``fraud v3``.
        foot: what identifies it, for the foot of each page: a digest.
        date: RFC 3339; of what the paper is about, never of its printing. Empty where none is known.
        language: BCP 47, for screen readers and hyphenation.
    """

    kind: str
    title: str
    subject: str
    subtitle: str = ""
    foot: str = ""
    date: str = ""
    language: str = "en"
    sections: tuple[Section, ...] = ()


def moment(text: str) -> str:
    """A time in ISO 8601 as one reads it: to the minute, in UTC; anything else as it is."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    if len(text) <= 10:
        return text
    return f"{(at if at.tzinfo is None else at.astimezone(UTC)):%Y-%m-%d %H:%M}{' UTC' if at.tzinfo else ''}"


def printed(cell: Cell, kind: Kind) -> str:
    """A cell as it reads; what was not measured is said, not left blank."""
    if cell is None:
        return "no data"
    if isinstance(cell, tuple):
        low, high = cell
        if low is None or high is None:
            return "no data"
        if kind == "share":
            digits = _digits(high)
            return f"{100 * low:.{digits}f} to {100 * high:.{digits}f} %"
        return f"{figure(low)} to {figure(high)}"
    if kind == "verdict":
        return VERDICTS.get(str(cell), str(cell).replace("_", " "))
    if isinstance(cell, str):
        return cell
    if kind == "share":
        said = f"{100 * cell:.{_digits(cell)}f} %"
        return said.removeprefix("-") if said in ("-0.0 %", "-0.00 %") else said
    return figure(cell)


def _digits(share: float) -> int:
    """Decimals of a percentage: one, and two below one percent, where outcomes are rare and one makes them equal."""
    return 2 if 0 < abs(share) < 0.01 else 1
