"""Is the canary's share of bad units at least ``margin`` above stable's? An e-value against it, batch by
batch.

The safe test of Turner, Ly and Grünwald (2021) for two Bernoulli streams with a convex null {p_c >= p_s +
margin}: bet on (q, q), project it onto the null in Kullback-Leibler divergence, weighting each arm by its
units, and take the likelihood ratio. ``docs/evidence.md`` proves that its mean is at most 1 for every pair
of batch means in the null, whatever the base rate does from batch to batch. The bet q is chosen from
earlier batches only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_PSEUDO = 10.0  # units that the first bet is worth


def bet(n: Floats, bad: Floats, margin: Floats) -> Floats:
    """The share that both arms are assumed to have, from the units seen so far (both arms together)."""
    return (bad + _PSEUDO * margin / 2) / (n + _PSEUDO)


def project(q: Floats, n_s: Floats, n_c: Floats, margin: Floats) -> Floats:
    """p_s of the point of {p_c = p_s + margin} that is closest to (q, q)."""
    low = np.maximum(q - margin, 0.0)
    high = np.minimum(q, 1.0 - margin)
    a = np.clip(q - margin * n_c / np.maximum(n_s + n_c, 1), low, high)
    for _ in range(16):
        b = a + margin
        va, vb = a * (1 - a), b * (1 - b)
        # The divergence is convex along the line. Its slope, cross-multiplied so that nothing is divided by
        # 0:
        slope = n_s * (a - q) * vb + n_c * (b - q) * va
        low, high = np.where(slope < 0, a, low), np.where(slope < 0, high, a)
        curvature = n_s * (vb + (a - q) * (1 - 2 * b)) + n_c * (va + (b - q) * (1 - 2 * a))
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = a - slope / curvature
        a = np.where((newton > low) & (newton < high), newton, (low + high) / 2)
    return np.clip(a, 1e-15, 1 - margin - 1e-15)


def log_e(
    n_c: Floats,
    n_s: Floats,
    bad_c: Floats,
    bad_s: Floats,
    *,
    past_n: Floats,
    past_bad: Floats,
    margin: Floats,
) -> Floats:
    """Ln of the batch's e-value, one per entry; all arguments have one entry per test.

    For the lower side pass the good units as the bad ones.
    """
    q = bet(past_n, past_bad, margin)
    a = project(q, n_s, n_c, margin)
    b = a + margin
    # How far a is from the exact projection; exp(slack) bounds what that can add to the mean, so take it off.
    slack = np.abs(n_s * (q - a) / (a * (1 - a)) + n_c * (q - b) / (b * (1 - b)))
    value = (
        bad_s * np.log(q / a)
        + (n_s - bad_s) * np.log1p((a - q) / (1 - a))
        + bad_c * np.log(q / b)
        + (n_c - bad_c) * np.log1p((b - q) / (1 - b))
    )
    return np.where(n_c > 0, value - slack, 0.0)
