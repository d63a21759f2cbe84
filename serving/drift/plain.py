"""Every detector in numpy, without any library: for tests, and for whoever cannot accept Alibi Detect's licence.

The online tests keep the same statistics as Alibi Detect's, which the tests hold equal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from serinus.watching.bins import Floats
from serinus.watching.online import Calibration, Stream, cvm, fisher
from serving.drift.detector import Detector, Direction, NumpyDetector, OnlineState, Reading, TwoSample

_NONE = float("nan")


def entropy(scores: Floats) -> Floats:
    """Of the two outcomes with probabilities ``scores`` and 1 - ``scores``, in nats."""
    both = np.clip(np.stack([scores, 1 - scores]), 1e-300, 1.0)
    return -(both * np.log(both)).sum(axis=0)


class NumpyLibrary:
    """Makes every detector of ``Library`` in numpy."""

    name = "numpy"

    def numbers(self, reference: Floats) -> Detector:
        """See ``Library``."""
        return NumpyDetector(False, reference)

    def levels(self, reference: Floats) -> Detector:
        """See ``Library``."""
        return NumpyDetector(True, reference)

    def rows(self, reference: Floats, categorical: Sequence[int]) -> Detector:
        """See ``Library``."""
        return _Rows(reference, categorical)

    def uncertainty(self, scores: Floats) -> Detector:
        """See ``Library``."""
        return _Uncertainty(scores)

    def online_numbers(self, stream: Stream, calibration: Calibration) -> _Numbers:
        """See ``Library``."""
        return _Numbers(stream, calibration)

    def online_share(self, stream: Stream, calibration: Calibration, direction: Direction) -> _Share:
        """See ``Library``."""
        return _Share(stream, calibration, direction)


class _Rows:
    def __init__(self, reference: Floats, categorical: Sequence[int]) -> None:
        self._columns = [NumpyDetector(i in categorical, reference[:, i]) for i in range(reference.shape[1])]

    def compare(self, window: Floats) -> TwoSample:
        found = [column.compare(window[:, i]) for i, column in enumerate(self._columns)]
        least = min(found)
        return TwoSample(min(1.0, least.p_value * len(found)), least.distance)


class _Uncertainty:
    def __init__(self, scores: Floats) -> None:
        self._detector = NumpyDetector(False, entropy(scores))

    def compare(self, window: Floats) -> TwoSample:
        return self._detector.compare(entropy(window))


class _Online:
    """Thresholds by row, and the last values."""

    def __init__(self, calibration: Calibration, thresholds: Sequence[float]) -> None:
        self._windows = calibration.plan.windows
        self._thresholds = thresholds
        self._values: deque[float] = deque(maxlen=self._windows[-1])
        self._seen = 0

    def _take(self, value: float) -> None:
        self._values.append(value)
        self._seen += 1

    def _threshold(self) -> float:
        row = self._seen - self._windows[0]
        return _NONE if row < 0 else self._thresholds[min(row, len(self._thresholds) - 1)]


class _Numbers(_Online):
    def __init__(self, stream: Stream, calibration: Calibration) -> None:
        super().__init__(calibration, calibration.cvm)
        self._reference = np.asarray(stream.reference)

    def update(self, value: float) -> Reading:
        self._take(value)
        ranks = np.searchsorted(self._reference, np.asarray(self._values), side="right").astype(np.int64)
        found = [cvm.statistic(ranks[-m:], self._reference.size) for m in self._windows if self._seen >= m]
        return Reading(max(found, default=_NONE), self._threshold())

    def state(self) -> OnlineState:
        return OnlineState(seen=self._seen, values=tuple(self._values))

    def restore(self, state: OnlineState) -> None:
        self._seen = state.seen
        self._values.clear()
        self._values.extend(state.values)


class _Share(_Online):
    def __init__(self, stream: Stream, calibration: Calibration, direction: Direction) -> None:
        super().__init__(calibration, stream.more if direction == "more" else stream.fewer)
        self._weight = calibration.plan.smoothing
        self._tables = [fisher.table(stream.hits, stream.rows, m, direction) for m in self._windows]
        self._smoothed = np.full(len(self._windows), np.nan, np.float32)

    def update(self, value: float) -> Reading:
        self._take(value)
        values = list(self._values)
        for k, m in enumerate(self._windows):
            if self._seen < m:
                continue
            now = self._tables[k][int(sum(values[-m:]))]
            before = self._smoothed[k : k + 1]
            self._smoothed[k] = (
                now if np.isnan(before[0]) else fisher.smooth(before, np.array([now]), self._weight)[0]
            )
        full = [float(s) for s in self._smoothed if not np.isnan(s)]
        return Reading(max(full, default=_NONE), self._threshold())

    def state(self) -> OnlineState:
        smoothed = tuple(float(s) for s in self._smoothed if not np.isnan(s))
        return OnlineState(seen=self._seen, values=tuple(self._values), smoothed=smoothed)

    def restore(self, state: OnlineState) -> None:
        self._seen = state.seen
        self._values.clear()
        self._values.extend(state.values)
        self._smoothed[:] = np.nan
        self._smoothed[: len(state.smoothed)] = state.smoothed
