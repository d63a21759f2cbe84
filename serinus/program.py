"""What the programs beside live traffic share around their command line."""

from __future__ import annotations

import sys
from collections.abc import Callable

from serinus.durations import parse_duration
from serinus.errors import SerinusError


def run_program(app: Callable[[], object]) -> None:
    """Run a program; an error that a user can meet is one line on stderr and exit code 2."""
    try:
        app()
    except SerinusError as error:
        sys.stderr.write(f"serinus: {error}\n")
        raise SystemExit(2) from error


def duration_of(flag: str, text: str, *, code: str, hint: str) -> float:
    """Seconds in the duration that was given for a flag.

    Raises:
        SerinusError: ``code``, if it is none.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise SerinusError(code, str(error), where=flag, hint=hint) from error
