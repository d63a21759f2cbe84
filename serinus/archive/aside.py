"""Lines that have no place in a chain: kept, with the reason."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from serinus.chain import NotAnEntry, decode_entry
from serinus.home import fsync_directory

_KNOWN = 50_000
_TAIL = 64 << 20
"""Bytes of a file that are read for what is remembered."""


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

    A line is known again among the newest 50,000, which is also how many are remembered. A line of the file that
    cannot be read (somebody altered it) stays where it is, and is not known.

    Raises:
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self.forks: OrderedDict[str, None] = OrderedDict()
        """Hashes of the entries in it, as far as they are remembered."""
        for text in _whole_lines(path):
            try:
                raw = msgspec.json.decode(text, type=Aside).raw
            except (msgspec.DecodeError, ValueError):
                continue
            self._remember(_digest(raw))
            try:
                self.forks[decode_entry(raw).hash] = None
            except NotAnEntry:
                continue
        while len(self.forks) > _KNOWN:
            self.forks.popitem(last=False)

    def add(self, found: Sequence[tuple[str, bytes]]) -> int:
        """Keep lines with the reason of each, durably; how many were not here yet."""
        new: dict[bytes, bytes] = {}
        for why, line in found:
            digest = _digest(line)
            if digest not in self._known and digest not in new:
                new[digest] = msgspec.json.encode(as_aside(why, line)) + b"\n"
        if not new:
            return 0
        self._path.parent.mkdir(parents=True, exist_ok=True)
        append_durably(self._path, b"".join(new.values()))
        for digest in new:
            self._remember(digest)
        return len(new)

    def _remember(self, digest: bytes) -> None:
        self._known[digest] = None
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)


def _whole_lines(path: Path) -> list[bytes]:
    """The newest lines of a file, after cutting off what a killed process left of one."""
    try:
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            file.truncate(size - len(data) + len(whole))
    except FileNotFoundError:
        return []
    lines = whole.splitlines()
    return (lines if len(data) == size else lines[1:])[-_KNOWN:]


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


def as_aside(why: str, line: bytes) -> Aside:
    """A line that may be any bytes, and why it is not in its log."""
    try:
        return Aside(why, line=line.decode())
    except UnicodeDecodeError:
        return Aside(why, base64=base64.b64encode(line).decode())


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()
