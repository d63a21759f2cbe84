"""Options that commands share, and how results are printed."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table


class Output(StrEnum):
    """How a command prints its result."""

    text = "text"
    json = "json"


WHICH = "A number, latest, champion, canary, or a digest (8 characters suffice)."
_WIDEST = 10_000
_MANY = 500  # rows that rich lays out in a moment; of 10,000 it makes ten seconds
HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Installation directory (default: $SERINUS_HOME, else ./.serinus)."),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="json for scripts.")]
AsOption = Annotated[
    str | None, typer.Option("--as", help="Acting identity (default: $SERINUS_USER, else you).")
]


def group(help_text: str) -> typer.Typer:
    """A group of commands."""
    app = typer.Typer(help=help_text, no_args_is_help=True, add_completion=False)
    # With a callback an app of one command stays a group: `contract check`, not `contract`.
    app.callback()(lambda: None)
    return app


def command(function: Callable[..., None]) -> typer.Typer:
    """A command of its own, not in a group."""
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return app


def counted(number: int, one: str, many: str = "") -> str:
    """``1 key``, ``2,000 keys``; ``many`` where it is not the singular with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def print_json(value: object) -> None:
    """A result for scripts."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(table: Table) -> None:
    """A table with every cell whole, however narrow the terminal: an id that was cut is of no use.

    Cells are text as it stands; a request id may hold brackets.
    """
    if table.row_count > _MANY:
        _print_columns(table)
        return
    console = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
    needed = console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum
    console.width = max(console.width, needed)
    console.print(table)


def _print_columns(table: Table) -> None:
    """The same text, without colours."""
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    widths = [max(map(cell_len, cells)) for cells in columns]
    for row in zip(*columns, strict=True):
        padded = (
            f" {cell}{' ' * (width - cell_len(cell))} " for cell, width in zip(row, widths, strict=True)
        )
        typer.echo("".join(padded))
