"""Evidence of no harm: what a good canary can really give, and bounds that hold at every look.

A canary is harmful in a guard's sense if its odds ratio is at or above the ratio margin *and* its excess
share is at or above the absolute margin. Clearing rejects that: two e-processes, one against each half, are
averaged, and the mean is an e-process wherever both halves hold. So many good units with no bad one clear a
guard although they say nothing about a ratio.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .grid import Grid

Floats = NDArray[np.float64]
_FINE = 24  # points between two nodes when bounds are drawn


def log_below(curve: Floats, at: int, direction: int) -> Floats:
    """Log of the e-value against "the ratio is at node ``at`` or further in ``direction``", one per edge.

    A uniform mixture over the nodes on the near side. Its mean is at most 1 at every such ratio, because the
    likelihood ratio of a nearer node is monotone in the canary's bad units.
    """
    near = curve[:, :at] if direction > 0 else curve[:, at + 1 :]
    if near.shape[1] == 0:
        return np.full(len(curve), -np.inf)
    return np.logaddexp.reduce(near - curve[:, [at]], axis=1) - math.log(near.shape[1])


def log_clear(rows: Floats, grid: Grid) -> Floats:
    """Log of the e-value of no harm, (edges, sides): the mean of the ratio's and the absolute margin's
    evidence."""
    curve = grid.full_curve(rows)
    absolute = rows[:, grid.absolute]
    sides = [
        np.logaddexp(log_below(curve, grid.margins[side], direction), absolute[:, side]) - math.log(2)
        for side, direction in enumerate(grid.directions)
    ]
    return np.stack(sides, axis=1)


def ratio_bounds(curve: Floats, thetas: tuple[float, ...], beta: float) -> tuple[float | None, float | None]:
    """Odds ratios between which the truth lies at all times with probability 1 - beta; None: no bound yet.

    A ratio is outside if the mean of the nodes' likelihoods exceeds its own by 2/beta from its side. Between
    nodes the likelihood is not stored; ln P is concave in theta, so the chords of the neighbouring intervals,
    extended, bound it from above: the interval can only get wider by that.
    """
    theta = np.asarray(thetas)
    if np.ptp(curve) < 1e-9:
        return None, None
    slopes = np.diff(curve) / np.diff(theta)
    fraction = np.arange(1, _FINE) / _FINE
    t = theta[:-1, None] + np.diff(theta)[:, None] * fraction
    left = curve[:-1, None] + np.r_[np.inf, slopes[:-1]][:, None] * (t - theta[:-1, None])
    right = curve[1:, None] - np.r_[slopes[1:], -np.inf][:, None] * (theta[1:, None] - t)
    ceiling = np.minimum(left, right)
    # Against "t or above" only nodes below t may be bet on, and the other way round.
    weights = curve - math.log(len(curve))
    need = math.log(2 / beta)
    below = np.logaddexp.accumulate(weights)
    above = np.logaddexp.accumulate(weights[::-1])[::-1]
    too_high = np.concatenate(
        [t[below[:-1, None] - ceiling >= need], theta[1:][below[:-1] - curve[1:] >= need]]
    )
    too_low = np.concatenate(
        [t[above[1:, None] - ceiling >= need], theta[:-1][above[1:] - curve[:-1] >= need]]
    )
    low = math.exp(float(too_low.max())) if too_low.size else None
    high = math.exp(float(too_high.min())) if too_high.size else None
    return low, high


def _share_bounds(n: int, bad: int, delta: float) -> tuple[float, float]:
    """Bounds of an arm's mean share that hold at all times, each side with probability 1 - delta.

    Robbins' beta mixture (uniform prior): p is outside if the integral of the likelihood exceeds it by
    1/delta.
    """
    if n == 0:
        return 0.0, 1.0
    log_mixture = math.lgamma(bad + 1) + math.lgamma(n - bad + 1) - math.lgamma(n + 2)
    need = log_mixture + math.log(delta)
    share, bounds = bad / n, []
    for end in (0.0, 1.0):
        inner, outer = share, end
        for _ in range(40):
            mid = (inner + outer) / 2
            if not 0 < mid < 1 or (bad and bad * math.log(mid)) + (n - bad) * math.log1p(-mid) <= need:
                outer = mid
            else:
                inner = mid
            if abs(inner - outer) < 1e-6 * outer:
                break
        bounds.append(outer)
    return bounds[0], bounds[1]


def excess_bound(n_c: int, bad_c: int, n_s: int, bad_s: int, direction: int, beta: float) -> float:
    """Upper bound of (canary's share - stable's) in the harmful direction, at all times with probability 1
    - beta."""
    canary, stable = _share_bounds(n_c, bad_c, beta / 2), _share_bounds(n_s, bad_s, beta / 2)
    return canary[1] - stable[0] if direction > 0 else stable[1] - canary[0]


def _kl(p: float, q: float) -> float:
    left = p * math.log(p / q) if p > 0 else 0.0
    return left + ((1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0)


def requests_to_clear(
    need: float, p: float, share: float, direction: int, margin_ratio: float, margin_absolute: float
) -> int | None:
    """Estimate of the canary units that give ``need`` nats of evidence of no harm if both arms have the
    share p.

    Each half gains, per unit of traffic, the divergence of the truth from the nearest harmful pair of
    shares; the faster of the two counts.
    """
    if need <= 0:
        return 0
    if not 0 < share < 1:
        return None
    if direction < 0:
        p = 1 - p
    p = min(max(p, 1e-9), 1 - 1e-9)
    gains = []
    for absolute in (True, False):
        low, high = 0.0, p
        for _ in range(
            60
        ):  # the nearest harmful pair keeps the overall share (ratio) or zeroes the slope (absolute)
            a = (low + high) / 2
            if absolute:
                b = a + margin_absolute
                rising = b >= 1 or (1 - share) * (a - p) * b * (1 - b) + share * (b - p) * a * (1 - a) > 0
            else:
                b = margin_ratio * a / (1 - a + margin_ratio * a)
                rising = (1 - share) * a + share * b > p
            low, high = (low, a) if rising else (a, high)
        a = max((low + high) / 2, 1e-15)
        b = a + margin_absolute if absolute else margin_ratio * a / (1 - a + margin_ratio * a)
        gains.append((1 - share) * _kl(p, a) + share * _kl(p, min(b, 1 - 1e-15)))
    gain = max(gains)
    return math.ceil(need / gain * share) if gain > 0 else None
