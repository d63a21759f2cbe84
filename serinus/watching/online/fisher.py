"""The online Fisher test of Ross, Tasoulis and Adams (2012) for a share of ones, and its thresholds.

Per window the statistic is 1 less the one-sided p-value of Fisher's exact test against the reference, smoothed by an
exponential moving average. It depends on the number of ones in the window alone, so a table holds all its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .types import OnlinePlan

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Direction = Literal["more", "fewer"]


def table(hits: int, rows: int, window: int, direction: Direction) -> Floats:
    """1 - p of a window with k ones, (window + 1,), the reference having ``hits`` ones in ``rows``."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, rows + window + 1)))])
    k = np.arange(window + 1)[:, None]
    j = np.arange(window + 1)[None, :]
    ones = hits + k
    zeros = rows + window - ones
    possible = (j <= ones) & (window - j <= zeros)
    j = np.where(possible, j, 0)
    left = np.where(possible, window - j, 0)
    chosen = logs[ones] - logs[j] - logs[ones - j] + logs[zeros] - logs[left] - logs[zeros - left]
    mass = np.where(possible, np.exp(chosen - (logs[-1] - logs[window] - logs[rows])), 0.0)
    tail = j >= k if direction == "more" else j <= k
    # A j that is not possible was set to 0 and has no mass.
    return 1 - np.minimum((mass * tail).sum(axis=1), 1.0)


def smooth(before: Singles, now: Floats, weight: float) -> Singles:
    """One step of the moving average, held in single precision as Alibi Detect holds it."""
    return ((1 - weight) * before.astype(np.float64) + weight * now).astype(np.float32)


def statistics(
    ones: NDArray[np.bool_], hits: int, rows: int, plan: OnlinePlan, direction: Direction
) -> Singles:
    """The largest smoothed statistic over the full windows, (steps - windows[0] + 1, streams), of ``ones`` (steps,
    streams)."""
    steps, streams = ones.shape
    first = plan.windows[0]
    counts = np.concatenate([np.zeros((1, streams), np.int32), np.cumsum(ones, axis=0, dtype=np.int32)])
    best = np.full((steps - first + 1, streams), -np.inf, np.float32)
    for window in plan.windows:
        values = table(hits, rows, window, direction)
        state = values[counts[window] - counts[0]].astype(np.float32)
        for i in range(window, steps + 1):
            if i > window:
                state = smooth(state, values[counts[i] - counts[i - window]], plan.smoothing)
            np.maximum(best[i - first], state, out=best[i - first])
    return best


def thresholds(hits: int, rows: int, plan: OnlinePlan, seed: Sequence[int] = (0,)) -> tuple[Floats, Floats]:
    """For ones becoming more, and for fewer: the values that at most one in ``ert`` running streams exceeds, by row.

    The statistic is discrete. Alibi Detect hits the quantile on average, by a coin where a value equals its threshold;
    here only a value *above* it counts, so the run is a little longer than asked for, and the same each time.
    """
    random = np.random.default_rng([plan.seed, *seed])
    ones = random.random((plan.steps, plan.streams), np.float32) < hits / rows
    more, fewer = (_limits(statistics(ones, hits, rows, plan, d), plan.ert) for d in ("more", "fewer"))
    return more, fewer


def _limits(statistics: Singles, ert: float) -> Floats:
    running = np.arange(statistics.shape[1])
    limits = np.empty(len(statistics))
    for i, row in enumerate(statistics):
        values = row[running]
        limits[i] = np.quantile(values, 1 - 1 / ert, method="higher")
        running = running[values <= limits[i]]
    return limits
