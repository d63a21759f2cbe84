"""Requests of persons who were erased, so that what is sent again about them is not kept again.

Request ids and key ids stand in clear in the decision log, and stay there after an erasure. That they are listed here
says no more of a person than the log and the audit log do; a digest of the outcome would, since few outcomes there are.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

from serinus.errors import SerinusError
from serinus.home import fsync_directory


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str = ""
    key: str = ""


_decode = msgspec.json.Decoder(_Line).decode


class Forgotten:
    """The list of an installation, read on where it grows. Several processes may append to it.

    Attributes:
        ids: request ids, of a batch ``id.row``, as the decision log has them; some 100 bytes of memory each.
        keys: ids of destroyed keys, by which decisions that come later are known.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / "privacy" / "erased-requests.jsonl"
        self._at = (0, 0)
        self.ids: set[str] = set()
        self.keys: set[str] = set()

    def look(self) -> None:
        """Take in what was listed since. Raises ``SRN-PRIVACY-008``."""
        try:
            found = self._path.stat()
            inode, offset = self._at
            if (found.st_ino, found.st_size) == self._at:
                return
            offset = offset if inode == found.st_ino and offset <= found.st_size else 0
            with self._path.open("rb") as file:
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unusable(error) from error
        whole = data[: data.rfind(b"\n") + 1]
        for text in whole.splitlines():
            try:
                line = _decode(text)
            except msgspec.DecodeError:
                continue
            (self.keys if line.key else self.ids).add(line.key or line.id)
        self._at = (found.st_ino, offset + len(whole))

    def note(self, keys: Iterable[str], ids: Iterable[str]) -> None:
        """List them, durably, before anything of theirs is overwritten. Raises ``SRN-PRIVACY-008``."""
        self.look()
        lines = [_Line(key=key) for key in sorted(set(keys) - self.keys)]
        lines += [_Line(id=one) for one in sorted(set(ids) - self.ids)]
        if not lines:
            return
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                size = os.fstat(file.fileno()).st_size
                if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                    data = b"\n" + data  # what a kill left of a line is none
                view = memoryview(data)
                while view:
                    view = view[os.write(file.fileno(), view) :]
                os.fsync(file.fileno())
            fsync_directory(self._path.parent)
        except OSError as error:
            raise self._unusable(error) from error
        self.look()

    def holds(self) -> Collection[str]:
        """The request ids, as they are now. Raises as ``look``."""
        self.look()
        return self.ids

    def _unusable(self, error: OSError) -> SerinusError:
        return SerinusError(
            "SRN-PRIVACY-008",
            f"the list of erased requests cannot be read or written ({error.strerror})",
            where=str(self._path),
            hint="Free space or mend the permissions, and repeat; it goes on where it stopped.",
        )
