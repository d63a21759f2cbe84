"""The online Cramer-von Mises test of Ross and Adams (2012): its statistic in whole numbers, and its thresholds.

With x_1 < ... < x_n the reference, F its empirical law and G that of the last m rows of the stream, the statistic is

    U = sum (F - G)^2 over the n + m values,    W = (n m / (n + m)^2 U - mean) / standard deviation

(Anderson 1962, equations 3 and 14). Without ties U depends on the m ranks c_j = #{x <= y_j} alone, and on them through
three whole numbers: the sums of c, of c^2 and of max(c_i, c_j) over all pairs. So a simulated stream needs no floats,
and W is the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .types import OnlinePlan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_AT_ONCE = 256  # streams simulated together: their ranks stay in the cache


def statistic(ranks: Ints, n: int) -> float:
    """W of one window's ranks (m,): how many of the ``n`` values of the reference each value reaches."""
    m = ranks.size
    ordered = np.sort(ranks)
    pairs = int(((2 * np.arange(m) + 1) * ordered).sum())
    return float(_normalised(ranks.sum(), (ranks * ranks).sum(), np.array(pairs), n, m))


def statistics(ranks: NDArray[np.int32], n: int, windows: Sequence[int]) -> Floats:
    """The largest W over the full windows at each row of each stream.

    Args:
        ranks: (rows, streams), as for ``statistic``.
        n: size of the reference.
        windows: ascending, the largest not above the number of rows.

    Returns:
        (rows - windows[0] + 1, streams): from the row that fills the smallest window on.
    """
    rows, streams = ranks.shape
    best = np.full((rows - windows[0] + 1, streams), -np.inf)
    wide = ranks.astype(np.int64)
    total = np.concatenate([np.zeros((1, streams), np.int64), np.cumsum(wide, axis=0)])
    square = np.concatenate([np.zeros((1, streams), np.int64), np.cumsum(wide * wide, axis=0)])
    # What a row adds to the pairs' sum when it comes, with the rows before it, and takes away when it leaves the
    # window, with the rows after it; both grow with the distance, and stand ready when it reaches a window's size.
    comes, leaves = np.zeros_like(ranks), np.zeros_like(ranks)
    for lag in range(1, windows[-1] + 1):
        if lag in windows:
            m = lag
            change = comes.astype(np.int64)
            change[m:] -= leaves[:-m]
            pairs = np.cumsum(change, axis=0)[m - 1 :]
            sums = total[m:] - total[:-m]
            found = _normalised(sums, square[m:] - square[:-m], sums + 2 * pairs, n, m)
            rest = best[m - windows[0] :]
            np.maximum(rest, found, out=rest)
        if lag < rows:
            larger = np.maximum(ranks[lag:], ranks[:-lag])
            comes[lag:] += larger
            leaves[:-lag] += larger
    return best


def _normalised(total: Ints, squares: Ints, pairs: Ints, n: int, m: int) -> Floats:
    """W from the sums of c, of c^2, and of max(c_i, c_j) over ordered pairs with themselves."""
    own = n * (n + 1) * (2 * n + 1) / 6 / n**2 + m * (m + 1) * (2 * m + 1) / 6 / m**2 + n - (n + 1)
    of_ranks = (squares + total) / (n * m) + squares / n**2 - (pairs + total) / (n * m) - pairs / m**2
    product = n * m / (n + m) ** 2
    mean = 1 / 6 + 1 / (6 * (n + m))
    variance = (n + m + 1) * (4 * n * m * (n + m) - 3 * (n * n + m * m) - 2 * n * m)
    variance /= 45 * (n + m) ** 2 * 4 * n * m
    return ((own + of_ranks) * product - mean) / math.sqrt(variance)


def simulate(plan: OnlinePlan, seed: int | None = None) -> Iterator[Floats]:
    """``statistics`` of streams without drift, each with a reference of its own, as (steps, streams) pieces.

    The test is free of the law, so the simulation draws from the simplest: uniform.
    """
    random = np.random.default_rng(plan.seed if seed is None else seed)
    for start in range(0, plan.streams, _AT_ONCE):
        size = min(_AT_ONCE, plan.streams - start)
        reference = np.sort(random.random((size, plan.reference)), axis=1)
        values = random.random((size, plan.steps))
        pairs = zip(reference, values, strict=True)
        ranks = np.array([np.searchsorted(x, y, side="right") for x, y in pairs], np.int32)
        yield statistics(np.ascontiguousarray(ranks.T), plan.reference, plan.windows)


def thresholds(statistics: Floats, ert: float) -> Floats:
    """For each row the value that one in ``ert`` of the streams still running crosses (Ross and Adams, equation 2).

    Args:
        statistics: (rows, streams) without drift.

    Returns:
        (rows,); a stream whose statistic is above is stopped. Quantiles of type 7, as Alibi Detect takes them.
    """
    running = np.arange(statistics.shape[1])
    limits = np.empty(len(statistics))
    for i, row in enumerate(statistics):
        values = row[running]
        limits[i] = np.quantile(values, 1 - 1 / ert)
        running = running[values <= limits[i]]
    return limits


def settled(limits: Floats, largest: int) -> Floats:
    """``limits`` with the last one, which counts for ever, averaged over the last half window of ``largest`` rows.

    By then they differ by chance only. One row's quantile rests on as few streams as exceed it: a run length a quarter
    off would be no surprise.
    """
    return np.append(limits[:-1], limits[-(largest // 2) :].mean())


def configure(plan: OnlinePlan) -> tuple[float, ...]:
    """The thresholds of a plan, simulated; 100,000 streams take a quarter of a minute."""
    simulated = np.concatenate(list(simulate(plan)), axis=1)
    return tuple(settled(thresholds(simulated, plan.ert), plan.windows[-1]).tolist())
