"""Alibi Detect's online detectors behind the port: ``CVMDriftOnline`` and ``FETDriftOnline``.

Two things of theirs are mended from outside. They draw their thresholds anew each time they are made (a minute of
compiling and simulating, and another alarm rule after each restart): here they take those of the bundle. And they keep
every value and statistic for ever, copying all of them for each row: here they keep what the next row needs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from serinus.watching.bins import Floats
from serinus.watching.online import Calibration, Stream
from serving.drift.alibi_import import load
from serving.drift.detector import Direction, OnlineState, Reading

CVMDriftOnline = load("cvm_online", "CVMDriftOnline")
FETDriftOnline = load("fet_online", "FETDriftOnline")


class _Configured:
    """Stands before a detector's class, and gives it its thresholds where it would simulate them."""

    given: Floats

    def _configure_thresholds(self) -> None:
        self.thresholds = self.given
        # Of Fisher's test: never a coin for a value that equals its threshold. Only above it counts.
        self.permit_probs = np.ones_like(self.given)


def _configured(kind: Any, calibration: Calibration, thresholds: tuple[float, ...], *, single: bool) -> Any:
    plan = calibration.plan
    given = np.full((plan.steps, 1), np.nan, np.float32 if single else np.float64)
    given[plan.windows[0] - 1 :, 0] = thresholds
    return type(kind.__name__, (_Configured, kind), {"given": given})


class _Online:
    """A detector of Alibi Detect that forgets what it no longer needs."""

    def __init__(self, detector: Any, largest: int) -> None:
        self._detector = detector
        self._largest = largest

    def update(self, value: float) -> Reading:
        """Takes a value in; see ``OnlineDetector``."""
        data = self._detector.predict(np.array([value], self._detector.x_ref.dtype))["data"]
        self._trim()
        statistics = np.asarray(data["test_stat"], np.float64)
        full = statistics[~np.isnan(statistics)]
        threshold = float(np.ravel(data["threshold"])[0])
        return Reading(float(full.max()) if full.size else float("nan"), threshold)

    def _trim(self) -> None:
        detector = self._detector
        detector.xs = detector.xs[-self._largest :]
        detector.test_stats = detector.test_stats[-1:]
        detector.drift_preds = detector.drift_preds[-1:]

    def state(self) -> OnlineState:
        """What a restart needs; see ``OnlineDetector``."""
        detector = self._detector
        last = np.ravel(detector.test_stats[-1:]).astype(np.float64)
        return OnlineState(
            seen=int(detector.t),
            values=tuple(np.ravel(detector.xs).astype(np.float64).tolist()),
            smoothed=tuple(last[~np.isnan(last)].tolist()),
        )

    def restore(self, state: OnlineState) -> None:
        """Goes on where ``state`` was taken; see ``OnlineDetector``."""
        detector = self._detector
        detector.reset_state()
        for value in state.values:
            # Its windows hold the last values only, so these alone bring them back.
            detector.score(np.array([value], detector.x_ref.dtype))
        detector.t = state.seen
        if state.values:
            last = np.full(len(detector.window_sizes), np.nan)
            last[: len(state.smoothed)] = state.smoothed
            detector.test_stats = last.reshape(1, -1, 1)


class Numbers(_Online):
    """``CVMDriftOnline`` with the bundle's thresholds."""

    def __init__(self, stream: Stream, calibration: Calibration) -> None:
        plan = calibration.plan
        kind = _configured(CVMDriftOnline, calibration, calibration.cvm, single=False)
        reference = np.asarray(stream.reference, np.float64).reshape(-1, 1)
        super().__init__(kind(reference, plan.ert, list(plan.windows), verbose=False), plan.windows[-1])


class Share(_Online):
    """``FETDriftOnline`` with the bundle's thresholds, for one direction."""

    def __init__(self, stream: Stream, calibration: Calibration, direction: Direction) -> None:
        plan = calibration.plan
        thresholds = stream.more if direction == "more" else stream.fewer
        kind = _configured(FETDriftOnline, calibration, thresholds, single=True)
        # Only the number of ones in the reference counts.
        reference = (np.arange(stream.rows) < stream.hits).astype(np.int64).reshape(-1, 1)
        detector = kind(
            reference,
            plan.ert,
            list(plan.windows),
            alternative="greater" if direction == "more" else "less",
            lam=plan.smoothing,
            verbose=False,
        )
        super().__init__(detector, plan.windows[-1])
