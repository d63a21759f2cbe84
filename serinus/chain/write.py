"""The one writer of a chained log: all or nothing, resumed after any crash, cut into segments."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from serinus.chain.link import GENESIS, Linker, NotAnEntry, decode_entry, entry_hash
from serinus.chain.lock import lock, unwritable
from serinus.chain.segments import segment_path, segments
from serinus.errors import SerinusError
from serinus.home import fsync_directory

_STEP = 1 << 20
_TRIAL = 1 << 16


class ChainWriter:
    """Appends to a log; a lock beside it keeps a second writer out.

    What a crash left of an unfinished write was never acknowledged: it is cut
    off on opening. With a limit, the live file becomes the next numbered
    segment before a write that would exceed it; the chain runs on.

    Args:
        path: the live log.
        rotate_bytes: size at which a segment is closed.
        rotate_every: age in seconds, from its first entry, at which it is closed.
        clock: seconds since the epoch.

    Raises:
        SerinusError: ``SRN-AUDIT-001`` another process writes this log;
            ``-002`` the log cannot be opened or written (disk full, permission);
            ``-003`` its end is not a sound entry.
    """

    def __init__(
        self,
        path: Path,
        *,
        rotate_bytes: int | None = None,
        rotate_every: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._rotate_bytes = rotate_bytes
        self._rotate_every = rotate_every
        self._clock = clock
        self._file: BinaryIO | None = None
        # Size, number and hash of what is acknowledged: in one, so that ``sync`` sees them agree.
        # What stands behind it is cut before the next write.
        self._at: tuple[int, int, str] = (0, 0, GENESIS)
        self._dirty = False
        self._born: float | None = None
        self._syncing = threading.Lock()
        self._unsynced: OSError | None = None  # a sync that failed, until what it lost is cut
        self._lock = lock(
            path,
            what="another process is writing this log",
            hint="Each writer needs a log of its own; stop the other one or choose another file.",
        )
        try:
            self._segments = segments(path)[-1][0] if segments(path) else 0
            self._at = self._resume()
            self._safe = self._at
        except BaseException:
            self.close()
            raise

    # --- opening -----------------------------------------------------------

    def _open(self) -> BinaryIO:
        """The live file, made if a crash (or nobody yet) left none."""
        if self._file is None:
            try:
                new = not self.path.exists()
                self._file = self.path.open("a+b", buffering=0)
                if new:
                    fsync_directory(self.path.parent)
                self._at = (os.fstat(self._file.fileno()).st_size, *self._at[1:])
            except OSError as error:
                raise unwritable(self.path, error) from error
            self._born, self._dirty = None, False
        return self._file

    def _resume(self) -> tuple[int, int, str]:
        file = self._open()
        try:
            end, last = self._cut_torn_tail(file)
            if not last and self._segments:
                last = _last_line(segment_path(self.path, self._segments))
            elif last and self._rotate_every is not None:
                file.seek(0)
                self._born = _time_of(file.readline(1 << 24))
        except OSError as error:
            raise unwritable(self.path, error) from error
        if not last:
            return end, 0, GENESIS
        try:
            entry = decode_entry(last)
        except NotAnEntry as error:
            raise _broken(self.path, "the last line is not an entry") from error
        if entry_hash(entry.prev.encode(), entry.seq, bytes(entry.body)) != entry.hash.encode():
            raise _broken(self.path, "the last entry was changed")
        return end, entry.seq, entry.hash

    def _cut_torn_tail(self, file: BinaryIO) -> tuple[int, bytes]:
        """Cut what follows the last whole line, and pages a power cut left empty; the size then, and that line."""
        end = start = self._at[0]
        tail = b""
        while start > 0:
            start = max(0, start - _STEP)
            file.seek(start)
            tail = file.read(end - start)
            lines = tail.split(b"\0", 1)[0].count(b"\n")
            # Two line ends: one closes the last line, the other the one before it.
            if lines >= 2:
                break
        sound = tail.split(b"\0", 1)[0]
        sound = sound[: sound.rfind(b"\n") + 1]
        if len(sound) < len(tail):
            end = start + len(sound)
            os.ftruncate(file.fileno(), end)
        return end, sound.rstrip(b"\n").rsplit(b"\n", 1)[-1]

    # --- writing -----------------------------------------------------------

    def append(self, bodies: Sequence[bytes], *, durable: bool = True) -> None:
        """Append JSON bodies in order; with ``durable`` they are on the disk on return.

        Raises:
            SerinusError: ``SRN-AUDIT-002`` if they cannot be written; the log is
                then as it was before the call.
        """
        linker = Linker(self.seq, self.head)
        self.write(linker.link(bodies), linker.seq, linker.head, durable=durable)

    def write(
        self, lines: Sequence[bytes], seq: int, head: str, *, after: int | None = None, durable: bool = True
    ) -> None:
        """Append lines that a ``Linker`` made from this writer's head; ``seq`` and ``head`` are its own now.

        Args:
            lines: one each or, where ``after`` says which entry they follow, as blocks of whole lines.

        Raises:
            ValueError: the lines do not follow the last one written.
            SerinusError: as ``append``; also where a ``sync`` failed since: ``seq``
                and ``head`` are then back at what is safe, and the rest must come again.
        """
        if self._unsynced is not None:
            raise self._back_to_safety(self._unsynced)
        if (seq - len(lines) if after is None else after) != self.seq:
            raise ValueError(f"lines up to {seq:,} do not follow entry {self.seq:,}")
        if not lines:
            return
        size = sum(map(len, lines))
        try:
            file = self._open()
            self._mend(file)
            if self._due(size):
                file = self._rotate(file)
            if self._born is None:
                self._born = self._clock()
            self._dirty = True
            for block in (b"".join(lines),) if after is None else lines:
                view = memoryview(block)
                while view:
                    view = view[os.write(file.fileno(), view) :]
            if durable:
                os.fsync(file.fileno())
        except OSError as error:
            if durable and self._safe != self._at:
                self._unsynced = error
            # A device that cannot be cut either must not hide why the write failed; it is cut before the next.
            with contextlib.suppress(OSError):
                if self._file is not None:
                    self._mend(self._file)
            raise unwritable(self.path, error) from error
        self._dirty = False
        self._at = (self._at[0] + size, seq, head)
        if durable:
            self._safe = self._at

    @property
    def seq(self) -> int:
        """Number of the last entry written, 0 before the first."""
        return self._at[1]

    @property
    def head(self) -> str:
        """Its hash."""
        return self._at[2]

    @property
    def safe(self) -> int:
        """Number of the last entry that is on the disk."""
        return self._safe[1]

    def sync(self) -> None:
        """Bring what was written without ``durable`` to the disk; another thread may write meanwhile.

        Raises:
            SerinusError: ``SRN-AUDIT-002`` it cannot; see ``write``.
        """
        with self._syncing:
            reached = self._at
            if self._file is None or self._unsynced is not None or reached == self._safe:
                return
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                self._unsynced = error
                raise unwritable(self.path, error) from error
            self._safe = reached

    def _back_to_safety(self, error: OSError) -> SerinusError:
        """After a failed sync pages may be lost that a next sync would not speak of: cut and write anew."""
        self._at = self._safe
        self._dirty, self._unsynced = True, None
        return unwritable(self.path, error)

    def _mend(self, file: BinaryIO) -> None:
        if self._dirty:
            os.ftruncate(file.fileno(), self._at[0])
            self._dirty = False

    def _due(self, coming: int) -> bool:
        if self._at[0] == 0:
            return False
        if self._rotate_bytes is not None and self._at[0] + coming > self._rotate_bytes:
            return True
        every, born = self._rotate_every, self._born
        return every is not None and born is not None and self._clock() - born >= every

    def _rotate(self, file: BinaryIO) -> BinaryIO:
        """Close the live file as the next segment and begin a new one.

        A crash between any two steps leaves either the old live file, or a
        segment and no live file, or a segment and an empty one; each resumes.
        """
        with self._syncing:
            if self._unsynced is not None:
                raise self._unsynced
            os.fsync(file.fileno())
            target = segment_path(self.path, self._segments + 1)
            if target.exists():
                raise _broken(target, "a segment of this name exists already")
            os.rename(self.path, target)
            self._segments += 1
            file.close()
            self._file = None
            self._safe = (0, self.seq, self.head)
            fsync_directory(self.path.parent)
            return self._open()

    def probe(self) -> None:
        """See whether the disk takes writes again, without touching the log. Raises ``SRN-AUDIT-002``."""
        trial = self.path.with_name(self.path.name + ".probe")
        try:
            with trial.open("wb", buffering=0) as file:
                file.write(bytes(_TRIAL))
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(self.path, error) from error
        finally:
            trial.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the lock and the file."""
        if self._file is not None:
            self._file.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


def _last_line(path: Path) -> bytes:
    """The last line of a closed segment."""
    with path.open("rb") as file:
        end = start = file.seek(0, os.SEEK_END)
        tail = b""
        while start > 0 and tail.count(b"\n") < 2:
            start = max(0, start - _STEP)
            file.seek(start)
            tail = file.read(end - start)
    if not tail.endswith(b"\n"):
        raise _broken(path, "the last line is torn")
    return tail.rstrip(b"\n").rsplit(b"\n", 1)[-1]


def _time_of(line: bytes) -> float | None:
    """When an entry was made, if its body says (``time``, as decisions and actions do)."""
    try:
        return datetime.fromisoformat(json.loads(line)["body"]["time"]).timestamp()
    except (ValueError, KeyError, TypeError):
        return None


def _broken(path: Path, what: str) -> SerinusError:
    return SerinusError(
        "SRN-AUDIT-003",
        f"the chain is broken: {what}",
        where=str(path),
        hint="Keep the file as evidence and compare it with a copy; entries before that line fit each other.",
    )
