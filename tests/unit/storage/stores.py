"""Stores that lose answers."""

from __future__ import annotations

from collections.abc import Iterator

from serinus.storage import MemoryStore
from serinus.storage.port import unavailable


class LossyStore(MemoryStore):
    """Breaks off after each of the given numbers of bytes, then holds; -1 ends the answer early without an error."""

    def __init__(self, *losses: int) -> None:
        super().__init__()
        self.losses = list(losses)
        self.asked: list[tuple[str, int]] = []

    def read(self, name: str, start: int = 0) -> Iterator[bytes]:
        self.asked.append((name, start))
        whole = b"".join(super().read(name, start))
        if not self.losses:
            yield whole
            return
        loss = self.losses.pop(0)
        yield whole[: abs(loss)]
        if loss >= 0:
            raise unavailable(f"{self.where}/{name}", "the connection broke")


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
