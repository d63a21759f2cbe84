"""Sending what is new in files to a program that takes lines by HTTP, each line at least once.

The place up to which a file was sent is kept once the other has the lines on its disk, so a killed process
sends some lines again, which count once there, and leaves none out.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from serinus.chain.segments import log_of
from serinus.errors import SerinusError
from serinus.follow import FEEDBACK, Followed
from serinus.home import atomic_write
from serinus.timed import timed_handlers
from serinus.tls import client_context

log = logging.getLogger("serinus.shipping")

_LINES = 5000
_SLOWEST = 30.0


class Untaken(Exception):  # noqa: N818  what happened, not a fault of ours
    """The lines were not taken; the message says why."""


class Channel(Protocol):
    """The way to the other program."""

    def send(self, kind: str, name: str, lines: list[bytes]) -> int:
        """Deliver lines of the log of that name; how many of them it could not read. Raises ``Untaken``."""
        ...


class HttpChannel:
    """Posts to ``URL/<kind>?log=<name>``.

    Args:
        url: of the other program.
        timeout: seconds of one post from its connection to the last byte of the answer, so that a peer that takes
            or answers byte by byte does not hold the next try up. One of each kind stays within what the chart's
            probe allows a turn (120 s).
    """

    def __init__(self, url: str, timeout: float = 50.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._opener = urllib.request.build_opener(*timed_handlers(client_context()))

    def send(self, kind: str, name: str, lines: list[bytes]) -> int:
        """Deliver; see ``Channel``."""
        request = urllib.request.Request(
            f"{self._url}/{kind}?log={urllib.parse.quote(name)}",
            data=b"\n".join(lines) + b"\n",
            headers={"Content-Type": "application/x-ndjson"},
            method="POST",
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return int(json.loads(answer.read())["unreadable"])
        except urllib.error.HTTPError as error:
            with error:
                raise Untaken(f"{error.code} {_said(error)}") from error
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            raise Untaken(str(error) or type(error).__name__) from error


def _said(error: urllib.error.HTTPError) -> str:
    """The beginning of a refusal, as far as it came in time: its status says what happened."""
    try:
        return error.read(300).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""


class MemoryChannel:
    """Keeps what was sent; ``down`` makes it fail."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.names: list[str] = []
        self.down = False

    def send(self, kind: str, name: str, lines: list[bytes]) -> int:
        """Keep; see ``Channel``."""
        if self.down:
            raise Untaken("nobody there")
        self.sent += [(kind, line) for line in lines]
        self.names += [name] * len(lines)
        return 0


class Shipper:
    """Sends what is new in files of two kinds, and keeps how far it came.

    Args:
        sources: kind → its files, in the order to send them.
        state: the file of places; what it holds and cannot be read begins anew: lines sent twice count once.
    """

    def __init__(
        self, sources: Mapping[str, Callable[[], list[Path]]], channel: Channel, state: Path
    ) -> None:
        self._channel = channel
        self._state = state
        self._places = _load(state)
        self._followed = {kind: Followed(paths, self._places) for kind, paths in sources.items()}

    def send(self) -> int:
        """Send what is new, some thousand lines of a kind at most; how many.

        Raises:
            Untaken: the other took none of the last lines; they come again.
            SerinusError: the place cannot be kept; the lines come again after a restart.
        """
        total = 0
        for kind, followed in self._followed.items():
            for path, lines, place in followed.read(_LINES):
                wanted = [line for line in lines if line.strip()]
                unreadable = self._channel.send(kind, _name(path), wanted) if wanted else 0
                if unreadable:
                    log.warning("%d lines of %s could not be read there", unreadable, path.name)
                followed.keep(place)
                self._places[place.key] = place.offset
                total += len(lines)
                atomic_write(self._state, msgspec.json.encode(self._places))
        return total


def _load(state: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode(state.read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s cannot be read (%s): all files are sent from their beginning", state, error)
        return {}


def run(
    shipper: Shipper,
    every: float,
    linger: float,
    stopping: threading.Event,
    alive: Callable[[], object] = lambda: None,
) -> None:
    """Send until stopped, and for ``linger`` seconds after: the scorer beside answers on until its gateway knows."""
    wait, until = every, float("inf")
    while True:
        alive()
        if stopping.is_set() and until == float("inf"):
            until = time.monotonic() + linger
        last = time.monotonic() >= until
        try:
            more, wait = shipper.send() >= _LINES, every
        except (Untaken, SerinusError) as error:
            log.warning("nothing could be sent: %s", error)
            more, wait = False, min(_SLOWEST, wait * 2)
        if last and not more:
            return
        if more:
            continue
        if stopping.is_set():
            time.sleep(min(every, max(0.0, until - time.monotonic())))
        else:
            stopping.wait(wait)


def _name(path: Path) -> str:
    """The log to which a file belongs: decisions by their chain, outcomes by whose they are."""
    name = path.name.partition(FEEDBACK)[0]
    return name if name != path.name else log_of(path).stem
