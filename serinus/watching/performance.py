"""How good the model is: estimated before labels arrive (CBPE), measured once they have.

Both read the same formulas. A label y weighs y as a positive and 1 - y as a negative; a row without label weighs its
calibrated probability p and 1 - p instead: confidence-based performance estimation (the idea of NannyML's CBPE). The
estimate is right as far as the probabilities are calibrated on this traffic: it sees what changed inputs do to
performance and is blind to a changed relation of inputs and outcome, for which only labels serve (``concept.py``).

Bands are closed forms, no bootstrap: the range in which the figure of a sample of this size lies in 95 of 100 cases.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from .bins import Floats
from .laws import binomial_bounds, normal_isf

_LEAST = 30  # rows below which nothing is said


class Figure(msgspec.Struct, frozen=True):
    """A figure, its 95 % band, and the number of cases that it rests on (flagged rows, positives, rows)."""

    value: float
    low: float
    high: float
    n: float


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """The model's performance on some rows; a figure is None where too few cases carry it.

    Args:
        estimated: without labels.
        flagged: share of rows at or above the threshold (the alert or decline rate; 1 minus it is approved).
        precision, recall: at the threshold. ``auc``: area under the ROC curve.
        base: share of positives. ``brier``: mean squared error of the probability.
        bias: mean of label minus probability; ``ece``: expected calibration error over ten equal groups, its ``high``
            being what 95 % of calibrated models stay below. Both only with labels.
    """

    estimated: bool
    rows: int
    flagged: Figure | None
    precision: Figure | None
    recall: Figure | None
    auc: Figure | None
    base: Figure | None
    brier: Figure | None
    bias: Figure | None = None
    ece: Figure | None = None


def estimate(probabilities: Floats, threshold: float, *, counts: Floats | None = None) -> Performance:
    """Performance that calibrated ``probabilities`` (n,) promise, before any label.

    ``counts`` (n,) are the rows that each entry stands for: a fine histogram of scores serves as well as rows.
    """
    return _performance(
        probabilities,
        probabilities,
        np.ones(probabilities.size) if counts is None else counts,
        threshold,
        True,
    )


def realised(probabilities: Floats, labels: Floats, threshold: float) -> Performance:
    """Performance on rows whose ``labels`` (n,), 0 or 1, have arrived."""
    return _performance(probabilities, labels, np.ones(labels.size), threshold, False)


def _performance(
    score: Floats, label: Floats, counts: Floats, threshold: float, estimated: bool
) -> Performance:
    rows = float(counts.sum())
    if rows < _LEAST:
        return Performance(
            estimated=estimated, rows=int(rows), flagged=None, precision=None, recall=None, auc=None, base=None,
            brier=None,
        )  # fmt: skip
    flag = score >= threshold
    flagged, positives = float(counts[flag].sum()), float(counts @ label)
    hits = float(counts[flag] @ label[flag])
    # A row's squared error is (1 - p)^2 with its weight as a positive, p^2 with that as a negative.
    error = label * (1 - score) ** 2 + (1 - label) * score**2
    # Its second moment: of the realised error, which is one or the other.
    square = label * (1 - score) ** 4 + (1 - label) * score**4
    return Performance(
        estimated=estimated,
        rows=int(rows),
        flagged=_share(flagged, rows),
        precision=_share(hits, flagged),
        recall=_share(hits, positives),
        auc=auc(score, label, counts),
        base=_share(positives, rows),
        brier=_mean(float(counts @ error) / rows, float(counts @ square) / rows, rows),
        bias=None if estimated else _bias(score, label),
        ece=None if estimated else _ece(score, label),
    )


def _share(hits: float, cases: float) -> Figure | None:
    if cases < 1:
        return None
    n, k = max(1, round(cases)), round(hits)
    low, high = binomial_bounds(min(k, n), n, 0.025)
    value = hits / cases
    return Figure(value, min(low, value), max(high, value), cases)


def _mean(value: float, square: float, rows: float) -> Figure:
    half = normal_isf(0.025) * math.sqrt(max(square - value**2, 0.0) / rows)
    return Figure(value, max(value - half, 0.0), value + half, rows)


def auc(score: Floats, label: Floats, counts: Floats | None = None) -> Figure | None:
    """Area under the ROC curve with the band of DeLong, DeLong and Clarke-Pearson (1988), labels weighing as above.

    None if either class weighs less than one case, or nothing can be paired.
    """
    counts = np.ones(score.size) if counts is None else counts
    values, group = np.unique(score, return_inverse=True)
    positive = np.bincount(group, weights=counts * label, minlength=values.size)
    negative = np.bincount(group, weights=counts * (1 - label), minlength=values.size)
    n_pos, n_neg = float(positive.sum()), float(negative.sum())
    if n_pos < 1 or n_neg < 1:
        return None
    above = np.cumsum(negative) - negative / 2  # negatives below, ties by half
    below = n_pos - np.cumsum(positive) + positive / 2  # positives above
    # A row is not paired with itself.
    itself = float(np.sum(counts * label * (1 - label)))
    pairs = n_pos * n_neg - itself
    if pairs <= 0:
        return None
    value = (float(positive @ above) - itself / 2) / pairs
    spread_pos = (
        float(positive @ (above / n_neg) ** 2) / n_pos - (float(positive @ above) / n_neg / n_pos) ** 2
    )
    spread_neg = (
        float(negative @ (below / n_pos) ** 2) / n_neg - (float(negative @ below) / n_pos / n_neg) ** 2
    )
    half = normal_isf(0.025) * math.sqrt(max(spread_pos, 0.0) / n_pos + max(spread_neg, 0.0) / n_neg)
    return Figure(value, max(0.0, value - half), min(1.0, value + half), min(n_pos, n_neg))


def _bias(score: Floats, label: Floats) -> Figure:
    gap = label - score
    half = normal_isf(0.025) * float(gap.std()) / math.sqrt(gap.size)
    return Figure(float(gap.mean()), float(gap.mean()) - half, float(gap.mean()) + half, gap.size)


def _ece(score: Floats, label: Floats, groups: int = 10) -> Figure:
    order = np.argsort(score, kind="stable")
    total = expected = variance = 0.0
    for part in np.array_split(order, groups):
        if not part.size:
            continue
        share = part.size / score.size
        total += share * abs(float(np.mean(label[part] - score[part])))
        # |normal| has mean sd sqrt(2/pi) and variance sd^2 (1 - 2/pi).
        sd = math.sqrt(float(np.sum(score[part] * (1 - score[part])))) / part.size
        expected += share * sd * math.sqrt(2 / math.pi)
        variance += (share * sd) ** 2 * (1 - 2 / math.pi)
    return Figure(total, 0.0, expected + normal_isf(0.05) * math.sqrt(variance), score.size)
