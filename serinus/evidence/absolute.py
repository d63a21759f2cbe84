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
    """p_s of the point of {p_c = p_s + margin} that is closest to (q, q).

    The divergence is convex along the line. Its slope, with the denominators multiplied out, is a cubic with
    roots below 0, in (0, q) and above 1 - margin; the middle one is the answer: Viete's formula, then Newton.
    """
    w = n_c / np.maximum(n_s + n_c, 1)
    v = 1 - w
    both = margin * (1 - margin)
    b2 = -(v * (1 - 2 * margin + q) + w * (1 - margin + q))
    b1 = -(v * (both - q * (1 - 2 * margin)) + w * (margin - q))
    b0 = v * q * both
    third = b2 / 3
    p = np.minimum(b1 - b2 * third, -1e-300)
    shift = 2 * third**3 - third * b1 + b0
    radius = np.sqrt(-p / 3)
    angle = np.arccos(np.clip(1.5 * shift / (p * radius), -1.0, 1.0))
    a = 2 * radius * np.cos((angle - 2 * np.pi) / 3) - third
    low, high = np.maximum(q - margin, 0.0), np.minimum(q, 1.0 - margin)
    for _ in range(3):
        a = np.minimum(np.maximum(a, low), high)
        slope = ((a + b2) * a + b1) * a + b0
        curvature = (3 * a + 2 * b2) * a + b1
        a = a - slope / np.where(curvature == 0, 1.0, curvature)
    return np.minimum(np.maximum(a, 1e-15), 1 - margin - 1e-15)


def log_e(
    n_c: Floats, n_s: Floats, bad_c: Floats, bad_s: Floats, past_n: Floats, past_bad: Floats, margin: Floats
) -> Floats:
    """Log of the batch's e-value against p_c >= p_s + margin; every argument has one entry per test.

    ``past_n`` and ``past_bad`` are the units of earlier batches, both arms together: the bet may not see
    this one. For the lower side swap the arms.
    """
    q = bet(past_n, past_bad, margin)
    a = project(q, n_s, n_c, margin)
    b = a + margin
    # (a, b) is the projection up to rounding. For a pair (p_s, p_s + margin) of the null the mean is at most
    # exp((p_s - a) * pull), 0 <= p_s <= 1 - margin; taking the worst of that off keeps it below 1 exactly.
    pull = n_s * (q - a) / (a * (1 - a)) + n_c * (q - b) / (b * (1 - b))
    slack = np.maximum((1 - margin - a) * pull, -a * pull)
    return (
        bad_s * np.log(q / a)
        + (n_s - bad_s) * np.log1p((a - q) / (1 - a))
        + bad_c * np.log(q / b)
        + (n_c - bad_c) * np.log1p((b - q) / (1 - b))
        - slack
    )
