"""Alibi Detect's batch detectors behind the port: ``KSDrift``, ``ChiSquareDrift``, ``TabularDrift`` and
``ClassifierUncertaintyDrift``.

Importing them takes seconds, so whoever uses this module does so at start, before
reporting ready. Alibi's own thresholds are not used: the false-alarm budget
decides (policy.py), so nothing changes when a detector is rebuilt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from serinus.watching.bins import Floats
from serinus.watching.online import Calibration, Stream
from serving.drift.alibi_import import load
from serving.drift.detector import Detector, Direction, OnlineDetector, TwoSample

KSDrift = load("ks", "KSDrift")
ChiSquareDrift = load("chisquare", "ChiSquareDrift")
TabularDrift = load("tabular", "TabularDrift")
ClassifierUncertaintyDrift = load("model_uncertainty", "ClassifierUncertaintyDrift")


class AlibiDetector:
    """``KSDrift`` for a column of numbers, ``ChiSquareDrift`` for one of levels.

    One detector per column rather than one for all: the missing values of a column
    are taken out, and each column may have its own number of them.
    """

    def __init__(self, categorical: bool, reference: Floats) -> None:
        column = np.ascontiguousarray(reference, dtype=np.float64).reshape(-1, 1)
        self._detector = ChiSquareDrift(column) if categorical else KSDrift(column)

    def compare(self, window: Floats) -> TwoSample:
        """The test of one window; see ``Detector``."""
        return _least(self._detector, window.reshape(-1, 1))


class AlibiLibrary:
    """Makes every detector of ``Library`` of Alibi Detect's."""

    name = "alibi"

    def numbers(self, reference: Floats) -> Detector:
        """``KSDrift``."""
        return AlibiDetector(False, reference)

    def levels(self, reference: Floats) -> Detector:
        """``ChiSquareDrift``."""
        return AlibiDetector(True, reference)

    def rows(self, reference: Floats, categorical: Sequence[int]) -> Detector:
        """``TabularDrift``."""
        return _Rows(reference, categorical)

    def uncertainty(self, scores: Floats) -> Detector:
        """``ClassifierUncertaintyDrift`` on the entropy."""
        return _Uncertainty(scores)

    def online_numbers(self, stream: Stream, calibration: Calibration) -> OnlineDetector:
        """``CVMDriftOnline``."""
        from serving.drift.alibi_online import Numbers

        return Numbers(stream, calibration)

    def online_share(self, stream: Stream, calibration: Calibration, direction: Direction) -> OnlineDetector:
        """``FETDriftOnline``."""
        from serving.drift.alibi_online import Share

        return Share(stream, calibration, direction)


class _Rows:
    def __init__(self, reference: Floats, categorical: Sequence[int]) -> None:
        rows = np.ascontiguousarray(reference, dtype=np.float64)
        self._detector = TabularDrift(rows, categories_per_feature=dict.fromkeys(categorical))

    def compare(self, window: Floats) -> TwoSample:
        return _least(self._detector, window)


class _Uncertainty:
    """The model is what has been answered already: the probabilities pass through it."""

    def __init__(self, scores: Floats) -> None:
        self._detector = ClassifierUncertaintyDrift(_both(scores), model=_itself, preds_type="probs")

    def compare(self, window: Floats) -> TwoSample:
        return _least(self._detector, _both(window))


def _itself(probabilities: Floats) -> Floats:
    return probabilities


def _both(scores: Floats) -> Floats:
    return np.stack([1 - scores, scores], axis=1)


def _least(detector: Any, window: Floats) -> TwoSample:
    """The least p-value over the columns, times their number (Bonferroni), and the distance in that column."""
    data = detector.predict(window, return_p_val=True, return_distance=True)["data"]
    p_values, distances = np.ravel(data["p_val"]), np.ravel(data["distance"])
    if np.isnan(p_values).any():
        return TwoSample(float("nan"), float("nan"))
    least = int(p_values.argmin())
    return TwoSample(min(1.0, float(p_values[least]) * p_values.size), float(distances[least]))
