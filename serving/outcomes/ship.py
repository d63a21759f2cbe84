"""``python -m serving.outcomes.ship``: sends a pod's logs to the outcomes program, line by line, each at least once.

A pod's decision log may lie in the pod, and go with it. This runs beside the scorer, follows its files as the outcomes
program would, and posts what is new. The place up to which a file was sent is kept once the lines are in the other's
store, so a killed process sends some lines again, which count once there, and leaves none out.
"""

from __future__ import annotations

import http.client
import json
import logging
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Protocol
from urllib.parse import urlsplit

import msgspec
import typer

from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.follow import FEEDBACK, Followed, matching
from serinus.home import atomic_write
from serinus.masking import mask_logs
from serinus.program import run_program
from serinus.tls import client_context

log = logging.getLogger("serinus.outcomes")
app = typer.Typer(add_completion=False)

_LINES = 5000
_SLOWEST = 30.0


class Untaken(Exception):  # noqa: N818  what happened, not a fault of ours
    """The lines were not taken; the message says why."""


class Channel(Protocol):
    """The way to the outcomes program."""

    def send(self, kind: str, lines: list[bytes]) -> int:
        """Deliver; how many of them it could not read. Raises ``Untaken``."""
        ...


class HttpChannel:
    """Posts to ``URL/decisions`` and ``URL/feedback``."""

    def __init__(self, url: str, timeout: float = 25.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._tls = client_context()

    def send(self, kind: str, lines: list[bytes]) -> int:
        """Deliver; see ``Channel``."""
        request = urllib.request.Request(
            f"{self._url}/{kind}",
            data=b"\n".join(lines),
            headers={"Content-Type": "application/x-ndjson"},
            method="POST",
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout, context=self._tls) as answer:
                return int(json.loads(answer.read())["unreadable"])
        except urllib.error.HTTPError as error:
            raise Untaken(f"{error.code} {error.read(300).decode(errors='replace')}") from error
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            raise Untaken(str(error) or type(error).__name__) from error


class MemoryChannel:
    """Keeps what was sent; ``down`` makes it fail."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.down = False

    def send(self, kind: str, lines: list[bytes]) -> int:
        """Keep; see ``Channel``."""
        if self.down:
            raise Untaken("nobody there")
        self.sent += [(kind, line) for line in lines]
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
                unreadable = self._channel.send(kind, wanted) if wanted else 0
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


def run(shipper: Shipper, every: float, linger: float, stopping: threading.Event, alive: Path | None) -> None:
    """Send until stopped, and for ``linger`` seconds after: the scorer beside answers on until its gateway knows."""
    wait, until = every, float("inf")
    while True:
        if alive is not None:
            alive.touch()
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


@app.command()
def ship(
    to: Annotated[str, typer.Option(help="URL of the outcomes program, such as http://fraud-outcomes:8091.")],
    logs: Annotated[Path, typer.Option(help="Directory of the logs.")],
    decisions: Annotated[str, typer.Option(help="Glob of the decision logs in it.")],
    feedback: Annotated[str, typer.Option(help="Glob of the outcomes in it.")],
    state: Annotated[Path, typer.Option(help="File that says how far everything was sent.")],
    every: Annotated[str, typer.Option(help="How often the logs are read.")] = "1s",
    linger: Annotated[
        str, typer.Option(help="After SIGTERM go on for so long: as the scorer drains.")
    ] = "0s",
    alive: Annotated[
        Path | None, typer.Option(help="File that is touched at each turn, for a probe by its age.")
    ] = None,
) -> None:
    """Send the logs of the scorer beside it to the outcomes program.

    Lines are sent once they are whole, in order, and again until they were taken. While the program is
    away nothing is lost that the files still hold.
    """
    mask_logs()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    sources = {
        "decisions": matching(logs, decisions, leave_out=FEEDBACK),
        "feedback": matching(logs, feedback),
    }
    shipper = Shipper(sources, HttpChannel(_url(to)), state)
    pauses = _duration("--every", every), _duration("--linger", linger)
    stopping = threading.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda number, frame: stopping.set())
    run(shipper, *pauses, stopping, alive)


def main() -> None:
    """Run the program; an error that a user can meet is one line on stderr and exit code 2."""
    run_program(app)


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise _wrong("--to", f"{text!r} is no URL to post to")
    return text


def _duration(flag: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise _wrong(flag, str(error)) from error


def _wrong(flag: str, what: str) -> SerinusError:
    return SerinusError(
        "SRN-OUTCOMES-003", what, where=flag, hint="See python -m serving.outcomes.ship --help."
    )


if __name__ == "__main__":
    main()
