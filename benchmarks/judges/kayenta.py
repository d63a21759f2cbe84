"""Kayenta's default judge, after spinnaker/kayenta a69573be, with its published constants.

Mann-Whitney on the two arms' points, one per minute; the metric is High if the lower end of the 98 % interval of the
location shift is above a quarter of the absolute Hodges-Lehmann estimate and the mean ratio is at least 1
(`MannWhitneyClassifier.scala`, `NetflixACAJudge.scala:146`). Interval and estimate are roots of the standardised
rank statistic, found to 1e-4 by Brent's method (`MannWhitney.scala`, `BrentSolver.java`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from .traces import Decision, Trace, decision
from .windows import increases

Floats = NDArray[np.float64]
TOLERANCE, CONFIDENCE = 0.25, 0.98
_ROOT, _EPSILON = 1e-4, 2.220446049250313e-16


def statistic(shift: Floats, x: Floats, y: Floats) -> Floats:
    """The standardised rank sum of x - shift against y, one per row, continuity-corrected; NaN points are absent.

    Ranks with average ties: of each x, the number of y below it plus half of those equal.
    """
    moved = x - shift[:, None]
    n_x, n_y = (~np.isnan(x)).sum(axis=1), (~np.isnan(y)).sum(axis=1)
    both = np.sort(np.concatenate([moved, y], axis=1), axis=1)  # NaN last
    known = ~np.isnan(both)
    less = np.nansum(
        np.where(
            np.isnan(moved)[:, :, None] | np.isnan(y)[:, None, :],
            0.0,
            (moved[:, :, None] > y[:, None, :]) + 0.5 * (moved[:, :, None] == y[:, None, :]),
        ),
        axis=(1, 2),
    )
    # Tie groups of the pooled sample: sum of t^3 - t.
    same = np.concatenate(
        [np.zeros((len(both), 1), bool), (both[:, 1:] == both[:, :-1]) & known[:, 1:]], axis=1
    )
    run = np.zeros(len(both))
    ties = np.zeros(len(both))
    for column in range(both.shape[1]):
        run = np.where(same[:, column], run + 1, 0)
        # Growing a group from t to t + 1 members adds (t+1)^3 - (t+1) - t^3 + t = 3 t (t + 1).
        ties += np.where(same[:, column], 3 * run * (run + 1), 0)
    dz = less - n_x * n_y / 2
    total = n_x + n_y
    with np.errstate(invalid="ignore", divide="ignore"):
        sigma = np.sqrt(n_x * n_y / 12 * (total + 1 - ties / (total * (total - 1))))
        return (dz - np.sign(dz) * 0.5) / sigma


def _root(level: float, x: Floats, y: Floats) -> Floats:
    """The shift at which the statistic crosses a level; the ends of the range where it does not.

    Brent's zero finder (1973), all rows at once, with Kayenta's tolerance. Its exact path matters: where the
    statistic jumps at 0 the answer is 0 give or take the tolerance, and the classifier asks for its sign.
    """
    low, high = np.nanmin(x, axis=1) - np.nanmax(y, axis=1), np.nanmax(x, axis=1) - np.nanmin(y, axis=1)
    at_low, at_high = statistic(low, x, y) - level, statistic(high, x, y) - level
    a, fa, b, fb = low.copy(), at_low.copy(), high.copy(), at_high.copy()
    c, fc = a.copy(), fa.copy()
    done = (at_low <= 0) | (at_high >= 0)
    for _ in range(1000):
        if done.all():
            break
        previous = b - a
        swap = np.abs(fc) < np.abs(fb)
        a, b, c = np.where(swap, b, a), np.where(swap, c, b), np.where(swap, b, c)
        fa, fb, fc = np.where(swap, fb, fa), np.where(swap, fc, fb), np.where(swap, fb, fc)
        tolerance = 2 * _EPSILON * np.abs(b) + _ROOT / 2
        step = (c - b) / 2
        done |= (np.abs(step) <= tolerance) | (np.abs(fb) <= _EPSILON)
        gap = c - b
        with np.errstate(invalid="ignore", divide="ignore"):
            linear = a == c
            t1, t2, q3 = fb / fc, fb / fa, fa / fc
            p = np.where(linear, gap * fb / fa, t2 * (gap * q3 * (q3 - t1) - (b - a) * (t1 - 1)))
            q = np.where(linear, 1 - fb / fa, (q3 - 1) * (t1 - 1) * (t2 - 1))
            q, p = np.where(p > 0, -q, q), np.abs(p)
            takes = (np.abs(previous) >= tolerance) & (np.abs(fa) > np.abs(fb))
            takes &= (p < 0.75 * gap * q - np.abs(tolerance * q) / 2) & (p < np.abs(previous * q / 2))
            step = np.where(takes, p / q, step)
        step = np.where(np.abs(step) < tolerance, np.where(step > 0, tolerance, -tolerance), step)
        a, fa = np.where(done, a, b), np.where(done, fa, fb)
        b = np.where(done, b, b + step)
        move = ~done
        fb = fb.copy()
        fb[move] = statistic(b[move], x[move], y[move]) - level
        same = move & (((fb > 0) & (fc > 0)) | ((fb < 0) & (fc < 0)))
        c, fc = np.where(same, a, c), np.where(same, fa, fc)
    return np.where(at_low <= 0, low, np.where(at_high >= 0, high, b))


def interval(x: Floats, y: Floats, confidence: float = CONFIDENCE) -> tuple[Floats, Floats, Floats]:
    """(lower, upper, estimate) of the location shift of x against y, one per row."""
    z = float(norm.ppf((1 + confidence) / 2))
    return _root(z, x, y), _root(-z, x, y), _root(0.0, x, y)


def classify(
    canary: Floats,
    baseline: Floats,
    *,
    tolerance: float = TOLERANCE,
    confidence: float = CONFIDENCE,
    direction: str = "increase",
    effect: tuple[float, float] = (1.0, 1.0),
) -> NDArray[np.str_]:
    """Labels "High", "Low", "Pass" or "Nodata" for each row of points; NaN points are absent."""
    out = np.full(len(canary), "Pass", dtype="<U6")
    some = (~np.isnan(canary)).any(axis=1) & (~np.isnan(baseline)).any(axis=1)
    out[~some] = "Nodata"
    spread = np.zeros(len(canary), bool)
    pooled = np.concatenate([canary, baseline], axis=1)
    spread[some] = np.nanmax(pooled[some], axis=1) > np.nanmin(pooled[some], axis=1)
    a, b = np.sort(canary, axis=1), np.sort(baseline, axis=1)
    if a.shape == b.shape:
        spread &= ~((a == b) | (np.isnan(a) & np.isnan(b))).all(axis=1)
    rows = np.flatnonzero(spread)
    if not len(rows):
        return out
    x, y = canary[rows], baseline[rows]
    z = float(norm.ppf((1 + confidence) / 2))
    if direction == "increase":
        # High needs a lower end above 0. The statistic falls, so where it is at most z already just below 0 by more
        # than the tolerance, the lower end is below 0: no need to look for it.
        possible = statistic(np.full(len(rows), -2 * _ROOT), x, y) > z
        rows, x, y = rows[possible], x[possible], y[possible]
        if not len(rows):
            return out
    estimate = np.abs(_root(0.0, x, y))
    mean_x, mean_y = np.nanmean(x, axis=1), np.nanmean(y, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where((mean_x == 0) | (mean_y == 0), np.nan, mean_x / mean_y)
    if direction in ("increase", "either"):
        high = (_root(z, x, y) > tolerance * estimate) & ~(ratio < effect[1])
        out[rows[high]] = "High"
    if direction in ("decrease", "either"):
        low = (_root(-z, x, y) < -tolerance * estimate) & ~(ratio > effect[0])
        out[rows[low & (out[rows] != "High")]] = "Low"
    return out


def points(trace: Trace) -> tuple[Floats, Floats]:
    """Per-minute error rates in percent (replications, minutes) of canary and stable; NaN where there are none."""
    ticks = np.arange(4, trace.steps + 1, 4)
    out = []
    for arm in ("canary", "stable"):
        window = increases(trace, arm, ticks, 4)
        with np.errstate(invalid="ignore", divide="ignore"):
            out.append(np.where(window.empty, np.nan, 100 * window.x / window.n).T)
    return out[0], out[1]


def judge(trace: Trace, every: int = 5) -> Decision:
    """A look every ``every`` minutes at all points so far: High rolls back, Pass at the end promotes."""
    canary, stable = points(trace)
    minutes = canary.shape[1]
    rollback = np.full(trace.runs, np.inf)
    for minute in range(every, minutes + 1, every):
        open_ = np.flatnonzero(np.isinf(rollback))
        for part in np.array_split(open_, max(1, len(open_) // 200)):
            if len(part):
                labels = classify(canary[part, :minute], stable[part, :minute])
                rollback[part[labels == "High"]] = minute
    return decision(rollback, np.full(trace.runs, float(minutes)))
