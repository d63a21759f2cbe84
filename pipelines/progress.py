"""What a person sees of a run: a line for each step, a table when the gate stops it."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group
from rich.status import Status
from rich.table import Table
from rich.text import Text

from components.step import Summary
from serinus.numerals import figure

_STYLE = {"pass": "green", "fail": "bold red", "no_data": "yellow", "no_champion": "yellow"}
WIDTH = 10
_NOTE = 30
"""What a note wants beside its demand, in characters."""


class Progress:
    """A ``Listener`` on a console: a spinner while a step runs, then its line.

    Without a terminal there is no spinner, and the lines are the same.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def started(self, step: str) -> None:
        """Show that the step runs."""
        if self._console.is_terminal:
            self._status = self._console.status(f"{step} …")
            self._status.start()

    def finished(self, step: str, seconds: float, cached: bool, summary: Summary) -> None:
        """Show the step's line."""
        self._clear()
        took = "cached" if cached else f"{seconds:.1f} s"
        numbers = "  ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in summary.items())
        self._console.print(f"  [green]✓[/] {step:<{WIDTH}} {took:>7}  [dim]{numbers}[/]", highlight=False)

    def failed(self, step: str, seconds: float) -> None:
        """Show that the step failed; why is the error's to say."""
        self._clear()
        self._console.print(f"  [red]✗[/] {step:<{WIDTH}} {seconds:>5.1f} s", highlight=False)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._clear()

    def _clear(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def demands_table(demands: list[dict[str, Any]], width: int) -> Group:
    """The gate's demands, what is wrong first.

    Args:
        width: of the console. Where the notes have no room in a column, those of what did not pass stand below.
    """
    order = {"fail": 0, "no_data": 1, "no_champion": 1, "pass": 2}
    demands = sorted(demands, key=lambda item: order[item["verdict"]])
    rows = [
        (
            demand["metric"],
            "no data" if demand["value"] is None else figure(demand["value"]),
            demand["threshold"],
            demand["verdict"].replace("_", " "),
        )
        for demand in demands
    ]
    taken = sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True))
    beside = width - taken >= _NOTE
    table = Table(title="Validation gate", title_justify="left", box=None, pad_edge=False)
    for name in ("metric", "value", "threshold", "verdict", *([""] if beside else [])):
        # Wide names stay whole, also in a narrow log; the note gives way first.
        table.add_column(name, justify="right" if name == "value" else "left", no_wrap=bool(name))
    below: list[Text] = []
    for demand, row in zip(demands, rows, strict=True):
        passed = demand["verdict"] == "pass"
        # What passed needs no more than its interval here; the card and validation.json have it all.
        note = demand["note"].split("; ")[0] if passed else demand["note"]
        cells: list[str | Text] = [*row[:3], Text(row[3], style=_STYLE[demand["verdict"]])]
        table.add_row(*cells, *([note] if beside else []))
        if note and not passed and not beside:
            below.append(Text(f"{demand['metric']}: {note}"))
    return Group(table, *below)


def _value(value: object) -> str:
    return figure(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
