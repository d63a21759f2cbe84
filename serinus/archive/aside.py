"""Lines that have no place in a chain: kept, each once, with the reason."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from serinus.chain import NotAnEntry, decode_entry
from serinus.home import fsync_directory


class Aside(msgspec.Struct, frozen=True, omit_defaults=True):
    """One such line: as text, or in base64 where it is none."""

    why: str
    line: str = ""
    base64: str = ""

    @property
    def raw(self) -> bytes:
        """The line."""
        return base64.b64decode(self.base64) if self.base64 else self.line.encode()


class AsideFile:
    """One file of them. What a killed process left of a line is cut off.

    Raises:
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[bytes] = set()
        self.forks: list[str] = []
        """Hashes of the entries in it."""
        if path.exists():
            data = path.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            if len(whole) < len(data):
                os.truncate(path, len(whole))
            for text in whole.splitlines():
                raw = msgspec.json.decode(text, type=Aside).raw
                self._known.add(_digest(raw))
                try:
                    self.forks.append(decode_entry(raw).hash)
                except NotAnEntry:
                    continue

    def add(self, found: Sequence[tuple[str, bytes]]) -> int:
        """Keep lines with the reason of each, durably; how many were not here yet."""
        lines: list[bytes] = []
        new: set[bytes] = set()
        for why, line in found:
            digest = _digest(line)
            if digest not in self._known and digest not in new:
                new.add(digest)
                lines.append(msgspec.json.encode(_aside(why, line)) + b"\n")
        if not lines:
            return 0
        self._path.parent.mkdir(parents=True, exist_ok=True)
        append_durably(self._path, b"".join(lines))
        self._known |= new
        return len(lines)


def append_durably(path: Path, data: bytes) -> None:
    """Append all of it, or leave the file as it was. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        size = os.fstat(descriptor).st_size
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
        if size == 0:
            fsync_directory(path.parent)
    finally:
        os.close(descriptor)


def _aside(why: str, line: bytes) -> Aside:
    try:
        return Aside(why, line=line.decode())
    except UnicodeDecodeError:
        return Aside(why, base64=base64.b64encode(line).decode())


def _digest(line: bytes) -> bytes:
    return hashlib.sha256(line).digest()
