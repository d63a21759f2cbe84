"""How good a score is: pure functions of outcome, score and weight.

numpy only: importing scikit-learn takes a step longer than computing all of this for
a million rows. ``tests/unit/components/test_metrics.py`` holds each of them equal to
scikit-learn's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from serinus.intervals import Z95

Floats = NDArray[np.float64]


def ranked(outcome: Floats, score: Floats, weight: Floats | None = None) -> tuple[Floats, Floats, Floats]:
    """Cumulative weight of bad and of good outcomes at each distinct score, from the
    highest score down, and those scores: everything below is read off this."""
    order = np.argsort(-score, kind="stable")
    weight = np.ones(outcome.size) if weight is None else weight[order]
    sorted_score, bad = score[order], outcome[order]
    last = np.flatnonzero(np.append(np.diff(sorted_score) != 0, True))
    return np.cumsum(weight * bad)[last], np.cumsum(weight * (1 - bad))[last], sorted_score[last]


def auc(outcome: Floats, score: Floats, weight: Floats | None = None) -> float:
    """Area under the ROC curve, ties counted half; NaN if there is one outcome only."""
    bad, good, _ = ranked(outcome, score, weight)
    if bad[-1] == 0 or good[-1] == 0:
        return math.nan
    heights = _from_zero(bad)
    return float(np.sum(np.diff(_from_zero(good)) * (heights[1:] + heights[:-1])) / (2 * bad[-1] * good[-1]))


def average_precision(outcome: Floats, score: Floats, weight: Floats | None = None) -> float:
    """Precision averaged over the steps of recall; NaN without a bad outcome."""
    bad, good, _ = ranked(outcome, score, weight)
    if bad[-1] == 0:
        return math.nan
    total = bad + good
    precision = np.divide(bad, total, out=np.zeros_like(bad), where=total > 0)
    return float(np.sum(np.diff(_from_zero(bad)) * precision) / bad[-1])


def ks(outcome: Floats, score: Floats, weight: Floats | None = None) -> float:
    """Largest distance between the two cumulative distributions of the score."""
    bad, good, _ = ranked(outcome, score, weight)
    if bad[-1] == 0 or good[-1] == 0:
        return math.nan
    return float(np.max(np.abs(bad / bad[-1] - good / good[-1])))


def brier(outcome: Floats, probability: Floats, weight: Floats | None = None) -> float:
    """Mean squared error of the probability."""
    return float(np.average((probability - outcome) ** 2, weights=weight))


def log_loss(outcome: Floats, probability: Floats) -> float:
    """Mean negative log-likelihood; probabilities are kept 1e-15 from 0 and 1."""
    p = np.clip(probability, 1e-15, 1 - 1e-15)
    return float(-np.mean(outcome * np.log(p) + (1 - outcome) * np.log(1 - p)))


def calibration_bins(outcome: Floats, probability: Floats, bins: int = 10) -> list[tuple[float, float, int]]:
    """Mean probability, observed share and rows of equally filled bins, ascending."""
    order = np.argsort(probability, kind="stable")
    return [
        (float(probability[part].mean()), float(outcome[part].mean()), int(part.size))
        for part in np.array_split(order, min(bins, max(outcome.size, 1)))
        if part.size
    ]


def calibration_error(outcome: Floats, probability: Floats, bins: int = 10) -> float:
    """Mean distance of predicted and observed share over equally filled bins, less the
    distance that chance alone gives a perfect model.

    Without that, ``sqrt(2 p (1 - p) / (pi n))`` a bin (the mean of a half-normal), 300 rows
    would fail every limit that a million must keep. Not below 0; NaN without rows.
    """
    if not outcome.size:
        return math.nan
    found = calibration_bins(outcome, probability, bins)
    excess = sum(n * (abs(p - y) - math.sqrt(2 * p * (1 - p) / (math.pi * n))) for p, y, n in found)
    return max(excess / outcome.size, 0.0)


def calibration_error_interval(outcome: Floats, probability: Floats, bins: int = 10) -> tuple[float, float]:
    """The 95 % interval of ``calibration_error``: a mean of independent bins, by the normal approximation,
    each bin's observed share having the variance of a binomial."""
    if not outcome.size:
        return math.nan, math.nan
    found = calibration_bins(outcome, probability, bins)
    variance = sum(n * max(y * (1 - y), p * (1 - p)) for p, y, n in found) / outcome.size**2
    value, half = calibration_error(outcome, probability, bins), Z95 * math.sqrt(variance)
    return max(value - half, 0.0), value + half


def bootstrap(
    measures: Mapping[str, Callable[[Floats, Floats, Floats], float]],
    outcome: Floats,
    score: Floats,
    *,
    seed: int,
    replicates: int = 100,
) -> dict[str, tuple[float, float]]:
    """The 95 % percentile intervals of weighted measures (Efron's bootstrap).

    A replicate is how often each row is drawn, as its weight, the same for all measures;
    fewer replicates above 100,000 rows, where the intervals are narrow anyway.
    (NaN, NaN) where a measure is never a number.
    """
    replicates = replicates if outcome.size <= 100_000 else 50
    # Sorted once: the measures' own stable sort of sorted scores is a single pass.
    order = np.argsort(-score, kind="stable")
    outcome, score = outcome[order], score[order]
    random, size = np.random.default_rng(seed), outcome.size
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(replicates):
        weight = np.bincount(random.integers(0, size, size), minlength=size).astype(np.float64)
        for name, measure in measures.items():
            value = measure(outcome, score, weight)
            if math.isfinite(value):
                found[name].append(value)
    return {name: _middle(values) for name, values in found.items()}


def mean_interval(values: Floats) -> tuple[float, float]:
    """The 95 % interval of a mean, by the normal approximation."""
    if values.size < 2:
        return math.nan, math.nan
    half = Z95 * float(values.std(ddof=1)) / math.sqrt(values.size)
    return float(values.mean()) - half, float(values.mean()) + half


def _middle(values: list[float]) -> tuple[float, float]:
    if not values:
        return math.nan, math.nan
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))


def thinned(x: Floats, y: Floats, points: int = 150) -> list[tuple[float, float]]:
    """At most so many points of a curve, its ends included, for drawing."""
    keep = np.unique(np.linspace(0, x.size - 1, min(points, x.size)).round().astype(int))
    return [(round(float(a), 5), round(float(b), 5)) for a, b in zip(x[keep], y[keep], strict=True)]


def _from_zero(values: Floats) -> Floats:
    return np.concatenate([[0.0], values])
