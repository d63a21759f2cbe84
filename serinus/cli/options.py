"""Options that commands share, and how results are printed."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer


class Output(StrEnum):
    """How a command prints its result."""

    text = "text"
    json = "json"


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


def print_json(value: object) -> None:
    """A result for scripts."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
