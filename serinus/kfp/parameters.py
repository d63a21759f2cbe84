"""Parameters of a run from a command line."""

from __future__ import annotations

from typing import Any

import msgspec

from serinus.errors import SerinusError


def read_parameters(pairs: list[str], *, flag: str) -> dict[str, Any]:
    """``name=value`` pairs as run parameters; a value that is JSON (a number, true, a list) is one.

    Raises:
        SerinusError: ``SRN-KFP-002`` for a pair without a name or ``=``.
    """
    parameters: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SerinusError(
                "SRN-KFP-002",
                f"{pair!r} is not name=value",
                where=flag,
                hint=f"For example {flag} by=ann.",
            )
        try:
            parameters[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            parameters[name] = value
    return parameters
