"""What the programs beside live traffic share around their command line."""

from __future__ import annotations

import io
import sys
from typing import Protocol

import click

from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.masking import masked


class App(Protocol):
    """A Typer application, as far as it is run."""

    def __call__(self, *, standalone_mode: bool) -> object:
        """Run it by the process's arguments."""
        ...


def run_program(app: App) -> None:
    """Run a program; an error that a user can meet is one line on stderr and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except SerinusError as error:
        sys.stderr.write(f"serinus: {error}\n")
        raise SystemExit(2) from error
    except click.ClickException as error:
        raise SystemExit(show_usage_error(error)) from error
    except (click.exceptions.Abort, KeyboardInterrupt) as error:
        sys.stderr.write("serinus: interrupted\n")
        raise SystemExit(130) from error
    if isinstance(code, int) and code:
        raise SystemExit(code)


def show_usage_error(error: click.ClickException) -> int:
    """Tell of wrong usage as Click does, without the secrets of what was typed; the exit code."""
    told = io.StringIO()
    error.show(told)
    sys.stderr.write(masked(told.getvalue()))
    return error.exit_code


def duration_of(flag: str, text: str, *, code: str, hint: str) -> float:
    """Seconds in the duration that was given for a flag.

    Raises:
        SerinusError: ``code``, if it is none.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise SerinusError(code, str(error), where=flag, hint=hint) from error
