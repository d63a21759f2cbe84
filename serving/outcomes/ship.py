"""``python -m serving.outcomes.ship``: sends a pod's logs to the outcomes program and to the archive.

A pod's decision log may lie in the pod, and go with it. This runs beside the scorer, follows its files as the outcomes
program would, and posts what is new, line by line, each at least once (``serinus.shipping``).
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.follow import FEEDBACK, matching
from serinus.masking import mask_logs
from serinus.program import run_program
from serinus.shipping import HttpChannel, Shipper, run
from serinus.tls import check_url

app = typer.Typer(add_completion=False)


@app.command()
def ship(
    logs: Annotated[Path, typer.Option(help="Directory of the logs.")],
    decisions: Annotated[str, typer.Option(help="Glob of the decision logs in it.")],
    feedback: Annotated[str, typer.Option(help="Glob of the outcomes in it.")],
    state: Annotated[Path, typer.Option(help="File that says how far everything was sent.")],
    to: Annotated[
        str, typer.Option(help="URL of the outcomes program, such as http://fraud-outcomes:8091.")
    ] = "",
    archive: Annotated[
        str,
        typer.Option(help="URL of the archive, such as http://serinus-records.serinus-system:8092."),
    ] = "",
    every: Annotated[str, typer.Option(help="How often the logs are read.")] = "1s",
    linger: Annotated[
        str, typer.Option(help="After SIGTERM go on for so long: as the scorer drains.")
    ] = "0s",
    alive: Annotated[
        Path | None, typer.Option(help="File that is touched at each turn, for a probe by its age.")
    ] = None,
) -> None:
    """Send the logs of the scorer beside it to the outcomes program, to the archive, or to both.

    Lines are sent once they are whole, in order, and again until they were taken. While one of the two is
    away nothing is lost that the files still hold, and the other goes on. How far each has come stands in
    a file of its own: --state, and --state with the ending .archive.
    """
    mask_logs()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    sources = {
        "decisions": matching(logs, decisions, leave_out=FEEDBACK),
        "feedback": matching(logs, feedback),
    }
    shippers = [
        Shipper(sources, HttpChannel(_url(flag, url)), place)
        for flag, url, place in (("--to", to, state), ("--archive", archive, Path(f"{state}.archive")))
        if url
    ]
    if not shippers:
        raise _wrong("command line", "give --to, or --archive, or both")
    pauses = _duration("--every", every), _duration("--linger", linger)
    stopping = threading.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda number, frame: stopping.set())
    beating = _Beating(alive, len(shippers))
    others = [
        threading.Thread(target=run, args=(shipper, *pauses, stopping, beating.of(i + 1)), daemon=True)
        for i, shipper in enumerate(shippers[1:])
    ]
    for other in others:
        other.start()
    run(shippers[0], *pauses, stopping, beating.of(0))
    for other in others:
        other.join()


class _Beating:
    """Touches the file of the probe when every one of several threads has turned since it was touched."""

    def __init__(self, alive: Path | None, threads: int) -> None:
        self._alive = alive
        self._turned = [False] * threads
        self._lock = threading.Lock()

    def of(self, i: int) -> Callable[[], None]:
        """What thread ``i`` calls at each turn."""

        def turn() -> None:
            with self._lock:
                self._turned[i] = True
                if self._alive is not None and all(self._turned):
                    self._alive.touch()
                    self._turned = [False] * len(self._turned)

        return turn


def main() -> None:
    """Run the program; an error that a user can meet is one line on stderr and exit code 2."""
    run_program(app)


def _url(flag: str, text: str) -> str:
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise _wrong(flag, f"{text!r} is no URL to post to")
    check_url(text, flag)
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
