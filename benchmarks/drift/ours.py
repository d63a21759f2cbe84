"""Our e-detector over many replicas at once: replicas are columns of one detector, each with the budget of a model."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.watching import Baseline, Detector, Plan, Sketch

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Replicas:
    """Takes looks in for all replicas; each of ``features`` columns shares one budget."""

    def __init__(self, plan: Plan, baseline: Baseline, features: int) -> None:
        self.detector = Detector(plan, baseline, family=features)
        self.evidence = self.detector.start()
        self.features = features
        self.replicas = len(baseline.columns) // features

    def update(self, sketch: Sketch, stratum: int = 0) -> tuple[Bools, Bools]:
        """Takes a look in: (replicas,) whether any column has evidence, and whether any has effect too."""
        self.evidence = self.detector.update(self.evidence, sketch, stratum=stratum)
        columns = self.detector.columns
        logs = np.frombuffer(self.evidence.logs, "<f4").reshape(columns.weights.shape)
        mixed = np.logaddexp.reduce(columns.log_weights + logs, axis=1)
        evidence = mixed >= columns.column_threshold
        both = np.zeros_like(evidence)
        if evidence.any():
            report = self.detector.judge(self.evidence)
            both = np.array([c.status == "drift" for c in report.columns])
        return self._any(evidence), self._any(both)

    def bad(self) -> Bools:
        """(replicas,) whether the missing share of any column has evidence."""
        shares = self.detector.shares
        logs = np.frombuffer(self.evidence.shares, "<f4").reshape(len(shares.streams), -1)
        hit = np.logaddexp.reduce(logs, axis=1) - np.log(logs.shape[1]) >= shares.threshold
        found = np.zeros(self.replicas, bool)
        for k, (i, kind) in enumerate(shares.streams):
            if kind == "missing" and hit[k]:
                found[i // self.features] = True
        return found

    def reset(self, which: Bools) -> None:
        """Starts the given replicas' evidence of drift anew, as after an alarm that was dealt with."""
        shape = self.detector.columns.weights.shape
        logs = np.frombuffer(self.evidence.logs, "<f4").reshape(shape).copy()
        logs[np.repeat(which, self.features)] = 0
        self.evidence = msgspec.structs.replace(self.evidence, logs=logs.tobytes())

    def _any(self, columns: Bools) -> Bools:
        return columns[: self.replicas * self.features].reshape(self.replicas, self.features).any(axis=1)
