"""The ports to statistical tests, and who makes them; the two-sample tests shipped without any library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec
import numpy as np

from serinus.watching.bins import Floats
from serinus.watching.laws import chi_square_sf, kolmogorov_sf
from serinus.watching.online import Calibration, Stream


class TwoSample(NamedTuple):
    """What a test says: the p-value, and the distance between the samples in the test's own unit."""

    p_value: float
    distance: float


class Detector(Protocol):
    """Compares windows with the reference that it was made of.

    Both hold only values that are present: whoever calls has split the missing
    ones off, because a two-sample test that meets a NaN is silently blind.
    """

    def compare(self, window: Floats) -> TwoSample:
        """The test of one window, n ≥ 1: shape (n,) for a column, (n, F) for whole rows."""
        ...


class Reading(NamedTuple):
    """What an online test says after a value: NaN until the smallest window is full."""

    statistic: float
    threshold: float

    @property
    def crossed(self) -> bool:
        """Whether the statistic is above its threshold."""
        return self.statistic > self.threshold


class OnlineState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that an online test remembers; the same size whatever has passed.

    Args:
        seen: values so far.
        values: the last ones, at most a largest window of them.
        smoothed: moving averages by window, where the test has them.
    """

    seen: int = 0
    values: tuple[float, ...] = ()
    smoothed: tuple[float, ...] = ()


class OnlineDetector(Protocol):
    """Watches one column value by value, with thresholds that were given to it."""

    def update(self, value: float) -> Reading:
        """Takes a value in that is present."""
        ...

    def state(self) -> OnlineState:
        """What a restart needs to go on."""
        ...

    def restore(self, state: OnlineState) -> None:
        """Goes on where ``state`` was taken, to the bit."""
        ...


Direction = Literal["more", "fewer"]


class Library(Protocol):
    """Who makes the detectors. Each is made once, of the reference alone."""

    name: str

    def numbers(self, reference: Floats) -> Detector:
        """Kolmogorov-Smirnov, for a column (m,) of numbers."""
        ...

    def levels(self, reference: Floats) -> Detector:
        """Chi-square, for a column (m,) of codes."""
        ...

    def rows(self, reference: Floats, categorical: Sequence[int]) -> Detector:
        """Both for each column of whole rows (m, F); p is the least, times F."""
        ...

    def uncertainty(self, scores: Floats) -> Detector:
        """Kolmogorov-Smirnov on the entropy of a binary classifier's probabilities (m,)."""
        ...

    def online_numbers(self, stream: Stream, calibration: Calibration) -> OnlineDetector:
        """Cramer-von Mises over sliding windows."""
        ...

    def online_share(self, stream: Stream, calibration: Calibration, direction: Direction) -> OnlineDetector:
        """Fisher's exact test over sliding windows, for a share of ones that grows or falls."""
        ...


DetectorFactory = Callable[[bool, Floats], Detector]
"""(categorical, reference values of shape (m,)) → the column's detector, prepared once."""


class NumpyDetector:
    """Kolmogorov-Smirnov for numbers, chi-square for levels, in numpy.

    The shipped in-memory implementation: tests use it, and so may whoever
    cannot accept Alibi Detect's licence.
    """

    def __init__(self, categorical: bool, reference: Floats) -> None:
        self._categorical = categorical
        self._reference = np.sort(reference)

    def compare(self, window: Floats) -> TwoSample:
        """The test of one window; see ``Detector``."""
        return self._chi_square(window) if self._categorical else self._kolmogorov_smirnov(window)

    def _kolmogorov_smirnov(self, window: Floats) -> TwoSample:
        ours, theirs = np.sort(window), self._reference
        both = np.concatenate([ours, theirs])
        gap = (
            np.searchsorted(ours, both, "right") / ours.size
            - np.searchsorted(theirs, both, "right") / theirs.size
        )
        distance = float(np.abs(gap).max())
        return TwoSample(kolmogorov_sf(distance, ours.size, theirs.size), distance)

    def _chi_square(self, window: Floats) -> TwoSample:
        levels = np.union1d(window, self._reference)
        table = np.array(
            [[(sample == level).sum() for level in levels] for sample in (self._reference, window)]
        )
        expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
        statistic = float(((table - expected) ** 2 / expected).sum())
        freedom = levels.size - 1
        return TwoSample(chi_square_sf(statistic, freedom) if freedom else 1.0, statistic)
