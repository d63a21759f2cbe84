"""How a command line reaches a running platform: one JSON line each way, on loopback.

The platform writes ``control.json`` (port and token, readable by its owner only)
below its home; who can read that file may command it.
"""

from __future__ import annotations

import socket
from typing import Any

import msgspec

from serinus.errors import SerinusError
from serinus.home import Home

CONTROL = "control.json"


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """What ``control.json`` holds."""

    port: int
    token: str
    pid: int


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One call: ``do`` names it, ``args`` are its arguments."""

    token: str
    do: str
    args: dict[str, Any] = {}


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Its result, or the error as ``SerinusError.to_dict`` gives it."""

    result: Any = None
    error: dict[str, str] | None = None


def find_control(home: Home) -> Control:
    """The running platform's control port.

    Raises:
        SerinusError: SRN-PLATFORM-009 if none is running here.
    """
    path = home.root / "platform" / CONTROL  # asked, not made
    try:
        return msgspec.json.decode(path.read_bytes(), type=Control)
    except (OSError, msgspec.DecodeError):
        raise _not_running(home) from None


def call(home: Home, do: str, timeout: float = 30.0, **args: Any) -> Any:
    """Ask the platform of this home.

    Raises:
        SerinusError: what the platform answers, or SRN-PLATFORM-009 if none is running here.
    """
    control = find_control(home)
    request = msgspec.json.encode(Request(token=control.token, do=do, args=args)) + b"\n"
    try:
        with socket.create_connection(("127.0.0.1", control.port), timeout=timeout) as connection:
            connection.sendall(request)
            with connection.makefile("rb") as answer:
                reply = msgspec.json.decode(answer.readline(), type=Reply)
    except (OSError, msgspec.DecodeError):
        raise _not_running(home) from None
    if reply.error is not None:
        error = reply.error
        raise SerinusError(error["code"], error["what"], where=error["where"], hint=error["hint"])
    return reply.result


def _not_running(home: Home) -> SerinusError:
    return SerinusError(
        "SRN-PLATFORM-009",
        "no platform is running here",
        where=str(home.root / "platform"),
        hint="Start one: serinus up. If it runs elsewhere, name its --home.",
    )
