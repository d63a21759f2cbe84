"""The events of one installation as files: one line an event, one file a pipeline run.

The file is the record; a backend is told from it (``serinus.lineage.outbox``). Steps are
processes of their own and append to their run's file: one write a line, so that lines of
two writers never mix.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from serinus.lineage.types import RunEvent

SUFFIX = ".ndjson"
REGISTRY = f"registry{SUFFIX}"
"""The file of the stages that versions enter (``serinus.lineage.stages``)."""


def append(path: Path, *events: RunEvent) -> None:
    """Add events to a file. Raises OSError where that cannot be done.

    A disk that filled up may have left a part of a line: what follows begins a line of its own.
    """
    data = b"".join(msgspec.json.encode(each) + b"\n" for each in events)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            data = b"\n" + data
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def read(path: Path) -> list[RunEvent]:
    """The events of a file in order; a torn or foreign line is left out, a missing file is empty."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [found for line in lines if (found := parse(line)) is not None]


def parse(line: bytes) -> RunEvent | None:
    """The event of a line, None if it holds none."""
    try:
        return msgspec.json.decode(line, type=RunEvent)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def files(directory: Path) -> list[Path]:
    """The files of an installation, the oldest run first: a run's name begins with its time."""
    return sorted(directory.glob(f"*{SUFFIX}"))


def unfinished(events: list[RunEvent]) -> Iterator[RunEvent]:
    """The START events of runs that have no end yet, the latest first."""
    ended = {each.run.run_id for each in events if each.ended}
    for each in reversed(events):
        if each.event_type == "START" and each.run.run_id not in ended:
            yield each
