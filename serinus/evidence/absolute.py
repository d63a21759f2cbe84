"""Is the canary's share of bad units at least ``margin`` above stable's? An e-value against it, batch by batch.

The safe test of Turner, Ly and Grünwald (2021) for two Bernoulli streams with a convex null {p_c >= p_s + margin}:
bet on (q, q), project it onto the null in Kullback-Leibler divergence, weighting each arm by its units, and take
the likelihood ratio. ``docs/evidence.md`` proves that its mean is at most 1 for every pair of batch means in the
null, whatever the base rate does from batch to batch. The bet q is chosen from earlier batches only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_PSEUDO = 10.0  # units that the first bet is worth


def bet(n: int, bad: Floats, margin: float) -> Floats:
    """The share that both arms are assumed to have, from the units seen so far (both arms together)."""
    return (bad + _PSEUDO * margin / 2) / (n + _PSEUDO)


def project(q: Floats, n_s: float, n_c: float, margin: float) -> Floats:
    """p_s of the point of {p_c = p_s + margin} that is closest to (q, q)."""
    low = np.maximum(q - margin, 0.0)
    high = np.minimum(q, 1.0 - margin)
    for _ in range(50):
        a = (low + high) / 2
        b = a + margin
        # The divergence's slope; it is convex along the line, so one sign change. Cross-multiplied: no 0/0.
        slope = n_s * (a - q) * b * (1 - b) + n_c * (b - q) * a * (1 - a)
        low, high = np.where(slope < 0, a, low), np.where(slope < 0, high, a)
    return np.clip((low + high) / 2, 1e-15, 1 - margin - 1e-15)


def log_e(
    n_c: int, n_s: int, bad_c: Floats, bad_s: Floats, *, past_n: int, past_bad: Floats, margin: float
) -> Floats:
    """ln of the batch's e-value, one per edge. For the lower side pass the good units as the bad ones."""
    if n_c == 0:
        return np.zeros(len(bad_c))
    q = bet(past_n, past_bad, margin)
    a = project(q, n_s, n_c, margin)
    b = a + margin
    return (
        bad_s * np.log(q / a)
        + (n_s - bad_s) * np.log1p((a - q) / (1 - a))
        + bad_c * np.log(q / b)
        + (n_c - bad_c) * np.log1p((b - q) / (1 - b))
    )
