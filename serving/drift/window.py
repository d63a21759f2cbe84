"""The rows of one predictor that the two-sample tests are given: a fair sample of what passed since the last one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serinus.watching.bins import Floats


@dataclass(frozen=True)
class Sample:
    """A closed window: ``vectors`` (n, F), NaN missing or unknown, and ``scores`` (k,), each in order of arrival."""

    vectors: Floats
    scores: Floats

    @property
    def rows(self) -> int:
        """Rows in it."""
        return len(self.vectors)


class Reservoir:
    """A uniform sample of ``size`` of the items that came (Vitter 1985, algorithm R), in order of arrival.

    The memory is that of ``size`` items, however many come. The same seed and items give the same sample.
    """

    def __init__(self, size: int, width: int, seed: int) -> None:
        self._size = size
        self._items = np.empty((size, width))
        self._order = np.empty(size, np.int64)
        self._random = np.random.default_rng(seed)
        self.seen = 0

    def add(self, items: Floats) -> None:
        """Takes items (n, width) in."""
        room = max(0, min(self._size - self.seen, len(items)))
        if room:
            self._items[self.seen : self.seen + room] = items[:room]
            self._order[self.seen : self.seen + room] = np.arange(self.seen, self.seen + room)
        rest = items[room:]
        if len(rest):
            number = np.arange(self.seen + room, self.seen + len(items))
            place = self._random.integers(0, number + 1)
            taken = np.flatnonzero(place < self._size)
            # Where two of one batch take the same place, the later one has it, as if they had come one by one.
            self._items[place[taken]] = rest[taken]
            self._order[place[taken]] = number[taken]
        self.seen += len(items)

    def take(self) -> Floats:
        """The sample, and starts anew."""
        held = min(self.seen, self._size)
        sample = self._items[:held][np.argsort(self._order[:held])]
        self.seen = 0
        return sample


class Window:
    """A window being filled, of at most ``size`` rows and ``size`` scores."""

    def __init__(self, size: int, features: int, opened: float, *, seed: int = 0) -> None:
        self.size = size
        self.opened = opened
        self._rows = Reservoir(size, features, seed)
        self._scores = Reservoir(size, 1, seed + 1)

    @property
    def rows(self) -> int:
        """Rows that came since it was opened."""
        return self._rows.seen

    @property
    def full(self) -> bool:
        """Whether ``size`` rows came."""
        return self.rows >= self.size

    def add(self, vectors: Floats) -> None:
        """Takes rows (n, F) in."""
        self._rows.add(vectors)

    def add_scores(self, scores: Floats) -> None:
        """Takes answered probabilities (k,) in."""
        self._scores.add(scores.reshape(-1, 1))

    def close(self, now: float) -> Sample:
        """What it held, and starts anew."""
        self.opened = now
        return Sample(self._rows.take(), self._scores.take()[:, 0])
