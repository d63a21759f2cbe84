"""The port to two-sample tests, and the one shipped without any library."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from serinus.watching.bins import Floats
from serinus.watching.laws import chi_square_sf, kolmogorov_sf


class TwoSample(NamedTuple):
    """What a test says: the p-value, and the distance between the samples in the test's own unit."""

    p_value: float
    distance: float


class Detector(Protocol):
    """Compares windows of one column with that column's reference.

    Both hold only values that are present: whoever calls has split the missing
    ones off, because a two-sample test that meets a NaN is silently blind.
    """

    def compare(self, window: Floats) -> TwoSample:
        """The test of one window, shape (n,), n ≥ 1."""
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
