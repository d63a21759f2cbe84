"""Following files that others append to, rotate and rename."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FEEDBACK = ".feedback."
"""What the name of a file of outcomes holds."""
_CHUNK = 1 << 20
_HEAD = 256


@dataclass(frozen=True)
class Place:
    """How far a file was read: bytes of whole lines. ``key`` stays the same when the file is renamed."""

    key: str
    path: Path
    offset: int


class Followed:
    """Some files of one kind, read line by line from where one left off.

    A file is known by its inode and its first bytes, so one that is renamed by
    rotation is not read twice and one that takes a deleted file's inode is read
    from its start. Only whole lines are given out.

    Args:
        paths: the files there are now, in the order to read them.
        places: offsets by key, as ``Place`` gave them.
    """

    def __init__(self, paths: Callable[[], list[Path]], places: Mapping[str, int]) -> None:
        self._paths = paths
        self._offsets = dict(places)

    def read(self, limit: int) -> Iterator[tuple[Path, list[bytes], Place]]:
        """Lines that are new, at most about ``limit`` per call, with the place after them.

        The place counts as reached only when ``keep`` is called with it.
        """
        left = limit
        for path in self._paths():
            if left <= 0:
                return
            try:
                with path.open("rb") as file:
                    head = file.read(_HEAD)
                    if b"\n" not in head and len(head) < _HEAD:
                        continue  # not yet a whole line: its key would change
                    status = path.stat()
                    digest = hashlib.sha256(head.partition(b"\n")[0]).hexdigest()[:16]
                    key = f"{status.st_dev}:{status.st_ino}:{digest}"
                    offset = self._offsets.get(key, 0)
                    if offset > status.st_size:
                        offset = 0
                    file.seek(offset)
                    while left > 0:
                        block = file.read(_CHUNK)
                        end = block.rfind(b"\n") + 1
                        if end == 0 and len(block) == _CHUNK:
                            block += file.readline()
                            end = len(block) if block.endswith(b"\n") else 0
                        if end == 0:
                            break
                        file.seek(offset + end)
                        offset += end
                        lines = block[:end].splitlines()
                        left -= len(lines)
                        yield path, lines, Place(key, path, offset)
            except FileNotFoundError:
                continue  # rotated away between the listing and the opening; it comes again under its new name

    def keep(self, place: Place) -> None:
        """Go on from here next time."""
        self._offsets[place.key] = place.offset


def matching(directory: Path, pattern: str, *, leave_out: str = "") -> Callable[[], list[Path]]:
    """The files in a directory by a glob pattern, oldest name first; none while there is no directory.

    Args:
        leave_out: what a name must not hold: feedback lies beside decisions, under names that begin alike.
    """
    return lambda: sorted(
        path
        for path in directory.glob(pattern)
        if path.is_file() and not (leave_out and leave_out in path.name)
    )


def exactly(*paths: Path) -> Callable[[], list[Path]]:
    """These files, as far as they exist."""
    return lambda: [path for path in paths if path.is_file()]
