"""Seeded streams without drift, many replicas side by side: the columns of replica r are r F to (r + 1) F - 1."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEATURES = 10
LOOK_ROWS = 500
LOOKS_PER_DAY = 288  # one each five minutes
REFERENCE = 5000
WORLDS = (
    "gaussian",
    "zero-inflated",
    "integer",
    "correlated",
    "autocorrelated",
    "daily cycle",
)
# Streams outside of the class for which our budget is guaranteed under the plan that takes rows as independent.
OUTSIDE = ("autocorrelated", "daily cycle")
_RHO = 0.5
_SWING = 0.5  # of the daily mean, in standard deviations


class Stream:
    """One clean world from its reference on. ``hour`` of the next look comes first."""

    def __init__(self, world: str, replicas: int, seed: int, features: int = FEATURES) -> None:
        self.world, self.replicas, self.features = world, replicas, features
        self._rng = np.random.default_rng([zlib.crc32(world.encode()), seed])
        self._last = self._rng.normal(size=replicas * features)
        self.look = 0

    @property
    def hour(self) -> int:
        """Hour of the day of the next look."""
        return self.look % LOOKS_PER_DAY * 24 // LOOKS_PER_DAY

    def reference(self, rows: int = REFERENCE) -> Floats:
        """Rows over whole days, (rows, replicas x features)."""
        return self._draw(rows, self._rng.random(rows))

    def reference_hours(self, rows: int) -> tuple[Floats, NDArray[np.int64]]:
        """Reference rows and the hour of each."""
        day = self._rng.random(rows)
        return self._draw(rows, day), (day * 24).astype(np.int64)

    def next(self, rows: int = LOOK_ROWS) -> Floats:
        """One look, (rows, replicas x features)."""
        day = (self.look % LOOKS_PER_DAY + self._rng.random(rows)) / LOOKS_PER_DAY
        self.look += 1
        return self._draw(rows, day)

    def _draw(self, n: int, day: Floats) -> Floats:
        rng, width = self._rng, self.replicas * self.features
        if self.world == "integer":
            return rng.integers(0, 6, (n, width)).astype(float)
        values = rng.standard_normal((n, width))
        if self.world == "zero-inflated":
            return np.where(rng.random((n, width)) < 0.7, 0.0, np.exp(values))
        if self.world == "correlated":
            common = np.repeat(rng.standard_normal((n, self.replicas)), self.features, axis=1)
            return np.sqrt(0.9) * common + np.sqrt(0.1) * values
        if self.world == "autocorrelated":
            values *= np.sqrt(1 - _RHO**2)
            for i in range(n):
                values[i] += _RHO * (values[i - 1] if i else self._last)
            self._last = values[-1]
        if self.world == "daily cycle":
            values += (_SWING * np.sin(2 * np.pi * day))[:, None]
        return values
