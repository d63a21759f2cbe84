"""A bounded queue between the HTTP server and the worker: full means dropped, never waiting."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Condition

from serving.drift.payload import Envelope


@dataclass(frozen=True)
class Letter:
    """One payload as it arrived."""

    envelope: Envelope
    body: bytes


class Recent:
    """The names of the latest events, so that one that is sent again is told.

    A sender that saw no answer sends again, within seconds; 65,536 events are ten seconds at 6,500 a second. Names are
    kept as hashes of 64 bits: a new event is taken for one of them once in 3e14 (2^64 / 65,536).
    """

    def __init__(self, size: int = 65_536) -> None:
        self._size = size
        self._names: dict[int, None] = {}

    def __contains__(self, name: str) -> bool:
        return hash(name) in self._names

    def add(self, name: str) -> None:
        """Remember it, and forget the oldest for it."""
        self._names[hash(name)] = None
        if len(self._names) > self._size:
            del self._names[next(iter(self._names))]


class Mailbox:
    """Holds at most ``letters`` payloads and ``size`` bytes of them."""

    def __init__(self, letters: int = 4096, size: int = 64 << 20) -> None:
        self._letters = letters
        self._room = size
        self._queue: deque[Letter] = deque()
        self._changed = Condition()
        self._closed = False

    def put(self, letter: Letter) -> bool:
        """Take a payload in at once, or say False: there is no room."""
        with self._changed:
            if self._closed or len(self._queue) >= self._letters or len(letter.body) > self._room:
                return False
            self._room -= len(letter.body)
            self._queue.append(letter)
            self._changed.notify()
            return True

    def take(self, timeout: float) -> Letter | None:
        """The oldest payload, or None if none came in ``timeout`` seconds."""
        with self._changed:
            if not self._queue and not self._closed:
                self._changed.wait(timeout)
            if not self._queue:
                return None
            letter = self._queue.popleft()
            self._room += len(letter.body)
            return letter

    def close(self) -> None:
        """Take nothing more in; what is in may still be taken out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken in."""
        return self._closed

    def __len__(self) -> int:
        return len(self._queue)
