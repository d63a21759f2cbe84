"""Append-only logs whose every entry commits to the one before it.

One JSON object a line: ``{"seq": n, "prev": "…", "hash": "…", "body": {…}}``.
``hash`` is the SHA-256 of ``prev``, the sequence number and the body's bytes as
they stand in the line, so an edited, removed or reordered line breaks the chain
at a place that can be named. Cutting entries off the end is not visible from
the file alone; whoever keeps the last hash elsewhere sees that too.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import msgspec

from serinus.errors import SerinusError

GENESIS = "0" * 64


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the log; ``body`` is kept as raw JSON, since the hash is over its bytes."""

    seq: int
    prev: str
    hash: str
    body: msgspec.Raw


def _hash(prev: str, seq: int, body: bytes) -> str:
    return hashlib.sha256(b"%s\n%d\n%s" % (prev.encode(), seq, body)).hexdigest()


class ChainWriter:
    """The one writer of a chained log; a lock on the file keeps a second one out.

    A last line torn by a crash was never acknowledged: it is cut off on opening.

    Raises:
        SerinusError: ``SRN-AUDIT-001`` another process writes this log;
            ``-002`` the log cannot be opened or written (disk full, permission).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise SerinusError(
                "SRN-AUDIT-001",
                "another process is writing this log",
                where=str(path),
                hint="Each writer needs a log of its own; stop the other one or choose another file.",
            ) from error
        self.seq, self.head = self._resume()

    def _resume(self) -> tuple[int, str]:
        size = self._file.seek(0, os.SEEK_END)
        end, last = size, b""
        step = 1 << 16
        start = size
        tail = b""
        while start > 0 and tail.count(b"\n") < 2:
            start = max(0, start - step)
            self._file.seek(start)
            tail = self._file.read(size - start)
        if tail and not tail.endswith(b"\n"):
            torn = len(tail) - (tail.rfind(b"\n") + 1)
            end = size - torn
            tail = tail[: len(tail) - torn]
            os.ftruncate(self._file.fileno(), end)
        if tail:
            last = tail.rstrip(b"\n").rsplit(b"\n", 1)[-1]
        if not last:
            return 0, GENESIS
        try:
            entry = msgspec.json.decode(last, type=Entry)
        except msgspec.DecodeError as error:
            raise _broken(self.path, "the last line is not an entry") from error
        return entry.seq, entry.hash

    def append(self, bodies: Sequence[bytes], *, durable: bool = True) -> None:
        """Append JSON bodies in order; with ``durable`` they are on the disk on return.

        Raises:
            SerinusError: ``SRN-AUDIT-002`` if they cannot be written; the log is
                then as it was before the call.
        """
        seq, head = self.seq, self.head
        lines: list[bytes] = []
        for body in bodies:
            seq += 1
            digest = _hash(head, seq, body)
            lines.append(
                b'{"seq":%d,"prev":"%s","hash":"%s","body":%s}\n'
                % (seq, head.encode(), digest.encode(), body)
            )
            head = digest
        before = os.fstat(self._file.fileno()).st_size
        payload = b"".join(lines)
        try:
            view = memoryview(payload)
            while view:
                view = view[os.write(self._file.fileno(), view) :]
            if durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            # A device that cannot be cut either (/dev/full) must not hide why the write failed.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), before)
            raise _unwritable(self.path, error) from error
        self.seq, self.head = seq, head

    def close(self) -> None:
        """Release the lock and the file."""
        self._file.close()

    def __enter__(self) -> ChainWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


def read_chain(path: Path) -> Iterator[Entry]:
    """Entries in order, each verified against the one before, in bounded memory.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` with the line at which the chain breaks.
    """
    seq, head = 0, GENESIS
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    raise _broken(path, f"line {number:,} is torn")
                try:
                    entry = msgspec.json.decode(line, type=Entry)
                except msgspec.DecodeError as error:
                    raise _broken(path, f"line {number:,} is not an entry ({error})") from error
                if entry.seq != seq + 1:
                    raise _broken(path, f"line {number:,}: entry {entry.seq:,} follows entry {seq:,}")
                if entry.prev != head:
                    raise _broken(path, f"line {number:,}: the entry before it was changed, removed or moved")
                if _hash(entry.prev, entry.seq, bytes(entry.body)) != entry.hash:
                    raise _broken(path, f"line {number:,}: the entry was changed")
                seq, head = entry.seq, entry.hash
                yield entry
    except OSError as error:
        raise SerinusError(
            "SRN-AUDIT-004",
            f"the log cannot be read ({error.strerror})",
            where=str(path),
            hint="Give the path of an audit or decision log.",
        ) from error


def verify_chain(path: Path) -> tuple[int, str]:
    """Number of entries and the last hash of a sound log. Raises as ``read_chain``."""
    count, head = 0, GENESIS
    for entry in read_chain(path):
        count, head = entry.seq, entry.hash
    return count, head


def _unwritable(path: Path, error: OSError) -> SerinusError:
    return SerinusError(
        "SRN-AUDIT-002",
        f"the log cannot be written ({error.strerror})",
        where=str(path),
        hint="Free space on the disk or mend the permissions; what was acknowledged so far is kept.",
    )


def _broken(path: Path, what: str) -> SerinusError:
    return SerinusError(
        "SRN-AUDIT-003",
        f"the chain is broken: {what}",
        where=str(path),
        hint="Keep the file as evidence and compare it with a copy; entries before that line are sound.",
    )
