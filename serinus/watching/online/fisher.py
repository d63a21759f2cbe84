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
_BLOCK = 4096


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
    best = np.full((steps - first + 1, streams), -np.inf, np.float32)
    for window in plan.windows:
        values = table(hits, rows, window, direction)
        for start in range(0, streams, _BLOCK):
            block = slice(start, start + _BLOCK)
            _average(ones[:, block], window, values, plan.smoothing, best[window - first :, block])
    return best


def _average(
    ones: NDArray[np.bool_], window: int, values: Floats, weight: float, best: NDArray[np.float32]
) -> None:
    """Raise ``best`` (steps - window + 1, streams) to the moving average of one window's statistic: ``smooth`` to the
    bit, in place on a block of streams that stays in the processor's cache."""
    count = ones[:window].sum(axis=0, dtype=np.intp)
    state = values[count].astype(np.float32)
    np.maximum(best[0], state, out=best[0])
    weighted = weight * values
    now, kept = np.empty(count.size), np.empty(count.size)
    for i in range(window, len(ones)):
        count += ones[i]
        count -= ones[i - window]
        np.take(weighted, count, out=now, mode="clip")  # never out of range; "raise" would copy
        np.multiply(state, 1 - weight, out=kept, dtype=np.float64)
        np.add(kept, now, out=state, casting="same_kind")
        np.maximum(best[i - window + 1], state, out=best[i - window + 1])


def thresholds(hits: int, rows: int, plan: OnlinePlan, seed: Sequence[int] = (0,)) -> tuple[Floats, Floats]:
    """For ones becoming more, and for fewer: the values that at most one in ``ert`` running streams exceeds, by row.

    The statistic is discrete. Alibi Detect hits the quantile on average, by a coin where a value equals its threshold;
    here only a value *above* it counts, so the run is a little longer than asked for, and the same each time.
    """
    random = np.random.default_rng([plan.seed, *seed])
    ones = random.random((plan.steps, plan.streams), np.float32) < hits / rows
    more, fewer = (limits(statistics(ones, hits, rows, plan, d), plan.ert) for d in ("more", "fewer"))
    return more, fewer


def limits(statistics: Singles, ert: float) -> Floats:
    """Row by row the quantile of level 1 - 1 / ``ert`` (the higher of two neighbours) of the streams that no earlier
    row stopped by a value above it. Overwrites ``statistics`` where a stream has stopped."""
    found = np.empty(len(statistics))
    stopped = np.zeros(statistics.shape[1], np.bool_)
    for i, row in enumerate(statistics):
        row[stopped] = -np.inf  # below all that run, whose order it leaves alone
        running = row.size - np.count_nonzero(stopped)
        above = running - 1 - int(np.ceil((running - 1) * (1 - 1 / ert)))
        found[i] = _from_above(row, above)
        stopped |= row > found[i]
    return found


def _from_above(values: Singles, number: int) -> np.float32:
    """The value that ``number`` others precede, the largest first. Where a few of many precede it, it is looked for
    among the highest percent or so, as one in 64 values tells them."""
    sample = values[::64]
    place = sample.size - 1 - sample.size // 100
    high = values[values > np.partition(sample, place)[place]]
    among = high if high.size > number else values
    return np.partition(among, among.size - 1 - number)[among.size - 1 - number]
