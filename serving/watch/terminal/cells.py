"""What stands in one place of the screen: numbers as people read them, and colours where somebody should look."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

NONE = "–"
"""What is not known."""
ENDED = {"Promoted": "green", "RolledBack": "red", "Aborted": "yellow", "Failed": "red"}
"""Phases in which a rollout stays, with their colours."""


def table(first: str, *others: str) -> Table:
    """A table without lines: names on the left, numbers on the right; a name may be cut, no number is."""
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    made.add_column(first, no_wrap=True, overflow="ellipsis")
    for name in others:
        made.add_column(name, justify="left" if name == "" else "right", no_wrap=True)
    return made


def bar(full: float, width: int = 20) -> Text:
    """How full something is; 1 is its limit."""
    count = max(0, min(width, int(full * width)))
    colour = "red" if full >= 1 else "yellow" if full >= 0.5 else "green"
    return Text.assemble(("█" * count, colour), ("░" * (width - count), "dim"))


def number(value: float | None) -> str:
    """A count or a rate, to two digits below 10."""
    if value is None:
        return NONE
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def places(value: float | None, count: int) -> str:
    """A number to so many places; what rounds to nothing has no sign."""
    return NONE if value is None or value != value else f"{round(value, count) + 0.0:.{count}f}"


def time(seconds: float | None) -> str:
    """Milliseconds below a second."""
    if seconds is None:
        return NONE
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"


def share(value: float | None, warn: float = 2.0, bad: float = 2.0) -> Text:
    """A share in per cent, coloured from ``warn`` and from ``bad`` on."""
    text = NONE if value is None else f"{100 * value:.3g} %"
    return coloured(text, value, warn, bad)


def coloured(text: str, value: float | None, warn: float, bad: float) -> Text:
    """A text coloured by the value behind it."""
    colour = "" if value is None or value < warn else "bold red" if value >= bad else "yellow"
    return Text(text, colour)


def flag(on: bool, word: str, otherwise: str = "no") -> Text:
    """A word where somebody should look, and another where not."""
    return Text(word, "bold red") if on else Text(otherwise, "green")


def phase(name: str) -> Text:
    """A rollout's phase."""
    return Text(name, f"bold {ENDED.get(name, 'cyan')}")


def worst(values: Sequence[float | None]) -> float | None:
    """The largest of those that are known."""
    return max((v for v in values if v is not None), default=None)


def span(seconds: float) -> str:
    """An age or a length of time, to two digits or so."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
