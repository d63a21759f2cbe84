"""A z-test with peeking, and the tools that have no judge."""

from __future__ import annotations

import numpy as np

from .traces import STEP, Decision, Trace, decision
from .windows import increases


def z_statistics(trace: Trace) -> np.ndarray:
    """(minutes, replications): the pooled two-proportion z of all counts so far, looked at each minute."""
    ticks = np.arange(4, trace.steps + 1, 4)
    canary, stable = (increases(trace, arm, ticks, trace.steps) for arm in ("canary", "stable"))
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = (canary.x + stable.x) / (canary.n + stable.n)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / canary.n + 1 / stable.n))
        return np.nan_to_num((canary.x / canary.n - stable.x / stable.n) / spread, nan=0.0, posinf=0.0)


def z_judge(z: np.ndarray, level: float) -> Decision:
    """Rollback at the first minute at which z reaches the level; nothing is ever promoted."""
    hit = z >= level
    return decision(np.where(hit.any(axis=0), (hit.argmax(axis=0) + 1) * 4 * STEP / 60, np.inf))


def none_judge(trace: Trace) -> Decision:
    """KServe and Seldon Core move the weight they are told to; nobody rolls back, nobody promotes."""
    return decision(np.full(trace.runs, np.inf))
