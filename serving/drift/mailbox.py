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
