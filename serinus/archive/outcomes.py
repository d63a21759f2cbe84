"""Outcomes that scorers were sent, kept beside their decisions. No chain."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from serinus.archive.aside import append_durably
from serinus.archive.taken import Taken

_KNOWN = 50_000


class Outcomes:
    """One file of outcomes."""

    def __init__(self, path: Path) -> None:
        self._path = path
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

    def take(self, lines: Sequence[bytes]) -> Taken:
        """Raises OSError; the object is as before then."""
        new: dict[bytes, bytes] = {}
        for line in lines:
            digest = _digest(line)
            if digest not in self._known:
                new.setdefault(digest, line)
        data = b"".join(line + b"\n" for line in new.values())
        if data:
            append_durably(self._path, data)
        self._known.update(dict.fromkeys(new))
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return Taken(kept=len(new), duplicate=len(lines) - len(new), bytes=len(data))


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()
