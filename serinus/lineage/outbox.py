"""Bringing events to the backend without anybody waiting for it beyond a bound.

What is in the files is sent in their order and remembered by an offset beside each file. A
backend that is down costs a run at most ``PATIENCE`` at its end; what was not taken stays, and
``serinus lineage send`` sends it later. A pod keeps no files: what its backend does not take
goes into its log, one event a line, which the same command reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import msgspec

from serinus.errors import SerinusError
from serinus.lineage import journal
from serinus.lineage.backend import Backend, RefusedError, UnreachableError, configured, open_backend
from serinus.lineage.types import RunEvent

PATIENCE = 5.0
"""Seconds that the end of a run, or of a pod's step, waits for the backend."""
_TICK = 0.2


@dataclass(frozen=True)
class Delivery:
    """How many events were sent, refused (and will not be sent again), and are still kept; ``why`` those are."""

    sent: int = 0
    refused: int = 0
    kept: int = 0
    why: str = ""

    def __add__(self, other: Delivery) -> Delivery:
        return Delivery(
            self.sent + other.sent,
            self.refused + other.refused,
            self.kept + other.kept,
            self.why or other.why,
        )


def deliver(path: Path, backend: Backend) -> Delivery:
    """Send what a file holds beyond what was sent before.

    Two senders of one file take turns: the second finds nothing left.
    """
    with _position(path) as position:
        sent = refused = 0
        for line, end in _lines(path, position.offset):
            event = journal.parse(line)
            if event is not None:
                try:
                    backend.send(event)
                    sent += 1
                except RefusedError:
                    refused += 1
                except UnreachableError as error:
                    return Delivery(sent, refused, kept(path, position.offset), str(error))
            position.move(end)
        return Delivery(sent, refused)


def kept(path: Path, offset: int | None = None) -> int:
    """Events of a file that were not sent yet."""
    if offset is None:
        with _position(path) as position:
            offset = position.offset
    return sum(1 for line, _ in _lines(path, offset) if journal.parse(line) is not None)


def forget(path: Path) -> None:
    """Take a file as never sent: another backend is to have all of it."""
    with _position(path) as position:
        position.move(0)


def _lines(path: Path, offset: int) -> list[tuple[bytes, int]]:
    """Whole lines after an offset, each with the offset behind it; a line still being written waits."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return []
    found: list[tuple[bytes, int]] = []
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        offset += len(line)
        found.append((line, offset))
    return found


@dataclass
class _Position:
    descriptor: int
    offset: int

    def move(self, offset: int) -> None:
        self.offset = offset
        os.pwrite(self.descriptor, f"{offset:020d}\n".encode(), 0)


@contextlib.contextmanager
def _position(path: Path) -> Generator[_Position]:
    beside = path.with_suffix(".sent")
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        text = os.pread(descriptor, 64, 0)
        yield _Position(descriptor, int(text) if text.strip().isdigit() else 0)
    finally:
        os.close(descriptor)


class Courier:
    """Sends a run's events while the run goes on, in a thread that nobody waits for long."""

    def __init__(
        self, paths: Iterable[Path], opening: Callable[[], Backend] = open_backend, patience: float = PATIENCE
    ) -> None:
        self._paths, self._opening, self._patience = tuple(paths), opening, patience
        self._delivery = Delivery()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="lineage", daemon=True)
        self._thread.start()

    def close(self) -> Delivery:
        """Wait until all is sent, ``patience`` seconds at most; say what was and what was not."""
        self._ending.set()
        self._thread.join(self._patience)
        if not self._thread.is_alive():
            return self._delivery
        # It may be in the middle of a file and hold its lock: count without waiting for it.
        left = sum(kept(path, _peek(path)) for path in self._paths)
        return Delivery(
            self._delivery.sent,
            self._delivery.refused,
            left,
            f"no answer within {self._patience:g} s of the end",
        )

    def _work(self) -> None:
        try:
            backend = self._opening()
            while True:
                last = self._ending.is_set()
                for path in self._paths:
                    done = deliver(path, backend)
                    self._delivery += done
                    if done.why:
                        self._ending.wait()
                        left = sum(kept(path) for path in self._paths)
                        self._delivery = Delivery(self._delivery.sent, self._delivery.refused, left, done.why)
                        return
                if last:
                    return
                self._ending.wait(_TICK)
        except (SerinusError, OSError) as error:
            why = error.what if isinstance(error, SerinusError) else str(error)
            self._ending.wait()
            self._delivery += Delivery(kept=sum(kept(path) for path in self._paths), why=why)


def _peek(path: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(path.with_suffix(".sent").read_bytes())
    return 0


class Direct:
    """Sends the events of a process that keeps no file; what is not taken goes to ``out``."""

    def __init__(
        self,
        opening: Callable[[], Backend] = open_backend,
        patience: float = PATIENCE,
        out: TextIO | None = None,
    ) -> None:
        self._opening, self._patience, self._out = opening, patience, out or sys.stderr
        self._queue: queue.Queue[RunEvent | None] = queue.Queue()
        self._left: list[RunEvent] = []
        self._why = ""
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="lineage", daemon=True)
        self._thread.start()

    def put(self, event: RunEvent) -> None:
        """Send it as soon as may be; returns at once."""
        with self._lock:
            self._left.append(event)
        self._queue.put(event)

    def close(self) -> None:
        """Wait ``patience`` seconds at most; write what was not taken as lines of JSON."""
        self._queue.put(None)
        self._thread.join(self._patience)
        with self._lock:
            left = list(self._left)
        if left:
            why = self._why or f"no answer within {self._patience:g} s"
            self._out.write(
                f"serinus: {len(left)} lineage events were not sent ({why}); they follow, "
                "and `serinus lineage send -` takes this log\n"
            )
            for event in left:
                self._out.write(msgspec.json.encode(event).decode() + "\n")

    def _work(self) -> None:
        try:
            backend = self._opening()
            while (event := self._queue.get()) is not None:
                try:
                    backend.send(event)
                except RefusedError as error:
                    self._why = self._why or str(error)
                    continue  # it goes to the log: only there can somebody see what was wrong with it
                with self._lock:
                    self._left.remove(event)
        except SerinusError as error:
            self._why = error.what
        except UnreachableError as error:
            self._why = str(error)


def direct() -> Direct | None:
    """A sender for this process, None where no backend is configured."""
    return Direct() if configured() else None
