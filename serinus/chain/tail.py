"""The newest entries of a log, read from its end."""

from __future__ import annotations

import os
from pathlib import Path

from serinus.chain.link import NotAnEntry, decode_entry
from serinus.chain.segments import segments
from serinus.chain.verify import unreadable

_STEP = 1 << 18


def last_bodies(log: Path, count: int) -> list[bytes]:
    """Bodies of the newest entries, oldest first, without verifying the chain before them.

    Raises:
        SerinusError: ``SRN-AUDIT-004`` the log cannot be read.
    """
    found: list[bytes] = []
    files = [path for _, path in segments(log)]
    files += [log] if log.exists() or not files else []
    for path in reversed(files):
        if len(found) >= count:
            break
        try:
            lines = _last_lines(path, count - len(found))
            found = [bytes(decode_entry(line).body) for line in lines] + found
        except OSError as error:
            raise unreadable(path, error) from error
        except NotAnEntry as error:
            raise unreadable(path, OSError(0, f"its end is not a log's: {error}")) from error
    return found


def _last_lines(path: Path, count: int) -> list[bytes]:
    """Whole lines only: the one that a writer may be in the middle of is left out."""
    with path.open("rb") as file:
        start = end = file.seek(0, os.SEEK_END)
        tail = b""
        while start > 0 and tail.count(b"\n") <= count:
            start = max(0, start - max(_STEP, end - start))
            file.seek(start)
            tail = file.read(end - start)
    lines = tail[: tail.rfind(b"\n") + 1].splitlines()
    if start > 0:
        lines = lines[1:]
    return lines[-count:]
