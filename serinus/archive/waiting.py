"""Lines of a log that cannot be written at present, in the order in which they came."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import msgspec

from serinus.archive.aside import Aside, append_durably, as_aside
from serinus.errors import SerinusError
from serinus.home import fsync_directory

_OF_ALL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""What the operating system says of the disk or the process, and not of one file."""
_ONE = {"SRN-AUDIT-001", "SRN-AUDIT-002", "SRN-AUDIT-003", "SRN-AUDIT-004", "SRN-ARCHIVE-002"}


def of_one_log(error: SerinusError) -> bool:
    """Whether it is that log which cannot be written, and others can."""
    cause = error.__cause__
    return error.code in _ONE and not (isinstance(cause, OSError) and cause.errno in _OF_ALL)


class Waiting:
    """The file of one log's lines. What is read of it stays until all is.

    Raises:
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def __bool__(self) -> bool:
        return self.path.exists()

    def add(self, lines: Sequence[bytes], why: str) -> None:
        """Keep lines behind the others, durably."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._cut_torn()
        encoded = [msgspec.json.encode(as_aside(why, line)) + b"\n" for line in lines]
        append_durably(self.path, b"".join(encoded))

    def next(self, most: int) -> tuple[list[bytes], int]:
        """Lines from where ``reached`` was told, and the place behind them; none at the end."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            found = [text for text in islice(file, most) if text.endswith(b"\n")]
        return [_raw(text) for text in found], self._read + sum(map(len, found))

    def reached(self, place: int) -> None:
        """What stands before that place is kept where it belongs."""
        self._read = place

    def end(self) -> None:
        """All of it is kept where it belongs."""
        self.path.unlink()
        fsync_directory(self.path.parent)

    def _cut_torn(self) -> None:
        """What a killed process left of a line; it comes again."""
        try:
            with self.path.open("r+b") as file:
                end = file.seek(0, os.SEEK_END)
                whole = end
                while whole > 0:
                    start = max(0, whole - (1 << 16))
                    file.seek(start)
                    found = file.read(whole - start).rfind(b"\n")
                    whole = start + found + 1 if found >= 0 else start
                    if found >= 0:
                        break
                if whole < end:
                    file.truncate(whole)
        except FileNotFoundError:
            return


def _raw(text: bytes) -> bytes:
    try:
        return msgspec.json.decode(text, type=Aside).raw
    except (msgspec.DecodeError, ValueError):
        return text[:-1]  # somebody altered it: it is no entry, and set aside as it stands
