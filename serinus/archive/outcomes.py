"""Outcomes that scorers were sent, kept beside their decisions. No chain."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from serinus.archive.aside import append_durably
from serinus.archive.taken import Taken
from serinus.privacy.kept import without

_KNOWN = 50_000


class Outcomes:
    """One file of outcomes. A line is known again among the latest 50,000, or as many as it is told to remember."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._most = _KNOWN
        self._known: OrderedDict[bytes, None] = OrderedDict()
        if path.exists():
            with path.open("r+b") as file:  # line by line: it grows for as long as the model is served
                end = 0
                for line in file:
                    if not line.endswith(b"\n"):
                        file.truncate(end)  # what a killed process left
                        break
                    end += len(line)
                    self._known[_digest(line[:-1])] = None
                    if len(self._known) > _KNOWN:
                        self._known.popitem(last=False)

    def remember(self, most: int) -> None:
        """So many lines, and no more, from now on."""
        self._most = most
        if (over := len(self._known) - most) > 0:
            # Made anew: a dict from which much was taken keeps its size.
            self._known = OrderedDict.fromkeys(islice(self._known, over, None))

    def take(self, lines: Sequence[bytes], erased: Callable[[], Collection[str]]) -> Taken:
        """Keep lines that are new, without the outcomes of requests whose person was erased.

        Args:
            erased: such requests, asked under the lock of the file that an erasure holds while it blanks.

        Raises:
            OSError: the object is as before then.
        """
        new: dict[bytes, bytes] = {}
        gone = 0
        with self._held():
            ids = erased()
            for line in lines:
                digest, kept = _digest(line), line
                if digest in self._known or digest in new:
                    continue
                fresh = without(line + b"\n", ids) if ids else None
                if fresh is not None:
                    if not fresh.strip():
                        gone += 1
                        continue
                    kept = fresh[:-1]
                    digest = _digest(kept)  # as it stands in the file where it was kept before the erasure
                if digest not in self._known:
                    new.setdefault(digest, kept)
            data = b"".join(line + b"\n" for line in new.values())
            if data:
                append_durably(self._path, data)
        self._known.update(dict.fromkeys(new))
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return Taken(kept=len(new), duplicate=len(lines) - len(new) - gone, erased=gone, bytes=len(data))

    @contextmanager
    def _held(self) -> Generator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o640), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()
