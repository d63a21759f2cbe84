"""The variance of an AUC and of the difference of two on the same rows (DeLong, DeLong and Clarke-Pearson 1988),
by midranks in O(n log n) (Sun and Xu 2014)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from serinus.intervals import Z95

Floats = NDArray[np.float64]


def midranks(values: Floats) -> Floats:
    """Ranks from 1, ties sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]


def delong(outcome: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """AUCs and their covariance.

    Args:
        outcome: 0 or 1, shape (n,).
        scores: of k models, shape (k, n).

    Returns:
        AUCs (k,) and covariance (k, k); NaN with fewer than two rows of either outcome.
    """
    bad, good = scores[:, outcome == 1], scores[:, outcome == 0]
    m, n = bad.shape[1], good.shape[1]
    if m < 2 or n < 2:
        empty = np.full(scores.shape[0], math.nan)
        return empty, np.full((empty.size, empty.size), math.nan)
    together = np.array([midranks(np.concatenate([b, g])) for b, g in zip(bad, good, strict=True)])
    above = (together[:, :m] - np.array([midranks(b) for b in bad])) / n
    below = 1 - (together[:, m:] - np.array([midranks(g) for g in good])) / m
    areas = above.mean(axis=1)
    covariance = np.atleast_2d(np.cov(above)) / m + np.atleast_2d(np.cov(below)) / n
    return areas, covariance


def auc_interval(outcome: Floats, score: Floats) -> tuple[float, float, float]:
    """AUC and its 95 % interval, kept in [0, 1]; NaN where it cannot be told."""
    areas, covariance = delong(outcome, score[None, :])
    half = Z95 * math.sqrt(max(float(covariance[0, 0]), 0.0)) if math.isfinite(areas[0]) else math.nan
    area = float(areas[0])
    return (
        area,
        max(area - half, 0.0) if half == half else half,
        min(area + half, 1.0) if half == half else half,
    )


def paired_difference(outcome: Floats, first: Floats, second: Floats) -> tuple[float, float, float]:
    """AUC of ``first`` less that of ``second`` on the same rows, and its 95 % interval."""
    areas, covariance = delong(outcome, np.stack([first, second]))
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    difference = float(areas[0] - areas[1])
    half = Z95 * math.sqrt(max(variance, 0.0)) if math.isfinite(variance) else math.nan
    # Twelve decimals: sums in another order must not turn no difference into one of 1e-16.
    return round(difference, 12), round(difference - half, 12), round(difference + half, 12)
