"""A memory store's file: a snapshot, and beside it a journal of what came since.

The snapshot names the first journal that it does not contain. To take one, it is
written aside, the next journal is begun, the snapshot is put in place, and the
older journals go: whatever is interrupted, each event is found exactly once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from serinus.errors import SerinusError
from serinus.features.reading import FeatureEvent
from serinus.home import fsync_directory

if TYPE_CHECKING:
    from serinus.features.online.memory import MemoryStore

_LENGTH = struct.Struct(">I")
_MOST_WAITING = 64 << 20
_AT_ONCE = 64
"""Entries that one addition may write of those that waited."""
_encode = msgspec.msgpack.Encoder().encode


class Journal:
    """The files ``path``, ``path.lock`` and ``path.<n>``.

    An event is in the page cache when ``event`` returns: a killed process loses
    none, a power cut may lose the last ones. What the disk does not take waits in
    memory, 64 MiB of it at most, and is written once there is room.

    Args:
        report: told of a disk that began to fail, once until all is written again.

    Raises:
        SerinusError: ``SRN-FEATURES-009`` if they cannot be used, or another process uses them.
    """

    def __init__(self, path: Path, report: Callable[[SerinusError], None] = lambda error: None) -> None:
        self._path = path
        self._number = 0
        self._journal = -1
        self._size = 0
        self._report = report
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lost = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o640)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise self._unusable("another process uses it") from error

    def restore(self, store: MemoryStore) -> None:
        """Bring the store to the kept state, and go on from there.

        Raises:
            SerinusError: ``SRN-FEATURES-006`` damaged, or of other features.
        """
        try:
            first = self._snapshot_into(store)
            replayed = 0
            self._number = first
            for number in self._numbers():
                if number >= first:
                    replayed += self._replay(store, number)
                    self._number = number
            if replayed or first:
                self.snapshot(store)
            else:
                self._begin(self._number + 1)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error

    def _snapshot_into(self, store: MemoryStore) -> int:
        try:
            state = msgspec.msgpack.decode(self._path.read_bytes())
        except FileNotFoundError:
            return 0
        except msgspec.DecodeError as error:
            raise self._damaged(str(error)) from error
        try:
            stream, decided, first = state["stream"], dict(state["decided"]), int(state["journal"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged("it is no snapshot of features") from error
        try:
            store.stream.restore(stream)
        except SerinusError as error:
            raise SerinusError(error.code, error.what, where=str(self._path), hint=error.hint) from error
        store.decided = decided
        store.erasures = str(state.get("erasures") or "")
        return first

    def _replay(self, store: MemoryStore, number: int) -> int:
        """Apply a journal; what a crash left half-written at its end is not there."""
        data, at, count = self._name(number).read_bytes(), 0, 0
        while at + _LENGTH.size <= len(data):
            (length,) = _LENGTH.unpack_from(data, at)
            entry = data[at + _LENGTH.size : at + _LENGTH.size + length]
            if len(entry) < length:
                break
            try:
                kind, body = msgspec.msgpack.decode(entry)
                if kind == "event":
                    store.apply(msgspec.convert(body[0], FeatureEvent), body[1])
                else:
                    store.stream.set_label(*body)
            except (msgspec.DecodeError, msgspec.ValidationError, TypeError, ValueError) as error:
                raise self._damaged(f"{self._name(number).name}, byte {at}: {error}") from error
            at += _LENGTH.size + length
            count += 1
        return count

    # ---- writing

    def event(self, event: FeatureEvent, decision: str | None) -> None:
        """Note an event that was added."""
        self._append(("event", (event, decision)))

    def label(self, event_id: str, value: object, at: int) -> None:
        """Note a label."""
        # MessagePack knows no whole number beyond 64 bits; a label is compared by its text.
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        self._append(("label", (event_id, text, at)))

    def _append(self, entry: tuple[str, Any]) -> None:
        body = _encode(entry)
        line = _LENGTH.pack(len(body)) + body
        if self._waiting_bytes + len(line) > _MOST_WAITING:
            self._lost += 1
            return
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        failing = len(self._waiting) > 1
        try:
            for _ in range(_AT_ONCE):
                if not self._waiting:
                    break
                self._write(self._waiting[0])
                self._waiting_bytes -= len(self._waiting.popleft())
        except OSError as error:
            if not failing:
                self._report(self._unusable(error.strerror or str(error)))

    def _write(self, line: bytes) -> None:
        try:
            if os.write(self._journal, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._size += len(line)
        except OSError:
            # Half an entry would hide all that follow it.
            with contextlib.suppress(OSError):
                os.ftruncate(self._journal, self._size)
            raise

    @property
    def unkept(self) -> int:
        """Entries that are in memory only, since the disk does not take them."""
        return len(self._waiting) + self._lost

    def snapshot(self, store: MemoryStore) -> None:
        """Write the state, and begin a new journal.

        Raises:
            SerinusError: ``SRN-FEATURES-009``; the state is then kept by the journals as before.
        """
        try:
            older = self._numbers()
            fresh = max(self._number, *older, 0) + 1
            state = {
                "format": 1,
                "journal": fresh,
                "stream": store.stream.snapshot(),
                "decided": store.decided,
                "erasures": store.erasures,
            }
            aside = self._path.with_name(self._path.name + ".new")
            with open(aside, "wb", opener=_for_its_group) as file:
                file.write(_encode(state))
                file.flush()
                os.fsync(file.fileno())
            self._begin(fresh)
            os.replace(aside, self._path)
            self._waiting.clear()
            self._waiting_bytes = self._lost = 0
            fsync_directory(
                self._path.parent
            )  # or a power cut may leave the old snapshot without its journals
            for number in older:
                self._name(number).unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error

    def _begin(self, number: int) -> None:
        begun = os.open(self._name(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o640)
        if self._journal >= 0:
            os.close(self._journal)
        self._journal, self._number, self._size = begun, number, 0

    def _numbers(self) -> list[int]:
        """Numbers of the journals there are, in order."""
        stem = self._path.name + "."
        found = (p.name.removeprefix(stem) for p in self._path.parent.glob(stem + "*"))
        return sorted(int(text) for text in found if text.isdigit())

    def _name(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def release(self) -> None:
        """Let the files go."""
        if self._journal >= 0:
            os.close(self._journal)
            self._journal = -1
        os.close(self._lock)

    def _damaged(self, why: str) -> SerinusError:
        return SerinusError(
            "SRN-FEATURES-006",
            f"the kept feature histories cannot be restored ({why})",
            where=str(self._path),
            hint="Move the file and its numbered journals away and warm the store from the records.",
        )

    def _unusable(self, why: str) -> SerinusError:
        return SerinusError(
            "SRN-FEATURES-009",
            f"the file of feature histories cannot be used ({why})",
            where=str(self._path),
            hint="Give each scorer a file of its own, on a disk with room that it may write to.",
        )


def _for_its_group(path: str, flags: int) -> int:
    return os.open(path, flags, 0o640)
