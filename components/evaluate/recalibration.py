"""The line through the outcomes: whether scores are too sharp or too high as a whole (Cox 1958)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluate.metrics import calibration_bins
from serinus.intervals import Z95

Floats = NDArray[np.float64]
FEW = 20
STEPS = 50


def recalibration(outcome: Floats, probability: Floats) -> dict[str, Any] | None:
    """Logistic regression of the outcome on the log-odds of the probability.

    Args:
        outcome: 0 or 1, shape (n,).
        probability: calibrated, shape (n,); kept 1e-6 from 0 and 1.

    Returns:
        ``slope`` and ``intercept`` with their 95 % intervals (Wald's), ``ece``: mean distance of predicted and observed
        share over ten equally filled bins, and ``citl``: observed less predicted share. None with fewer than 20 of
        either outcome, or where the regression has no end (the probability tells the outcomes apart without fail).
    """
    bad = int(outcome.sum())
    if min(bad, outcome.size - bad) < FEW:
        return None
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    rows = np.column_stack([np.log(p / (1 - p)), np.ones(outcome.size)])
    if float(np.ptp(rows[:, 0])) < 1e-9:
        return None
    weights, information = np.array([1.0, 0.0]), np.eye(2)
    likelihood = _likelihood(rows @ weights, outcome)
    for _ in range(STEPS):
        fitted = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        information = (rows * (fitted * (1 - fitted))[:, None]).T @ rows
        try:
            step = np.linalg.solve(information, rows.T @ (outcome - fitted))
        except np.linalg.LinAlgError:
            return None
        # A whole step of Newton's overshoots where scores are far too sharp; the likelihood is
        # concave, so that some part of the step always leads upwards.
        while (there := _likelihood(rows @ (weights + step), outcome)) < likelihood - 1e-9:
            step = step / 2
        weights, likelihood = weights + step, there
        if not np.isfinite(weights).all() or abs(weights[0]) > 1e3:
            return None
        if float(np.abs(step).max()) < 1e-9:
            break
    else:
        return None
    half = Z95 * np.sqrt(np.diag(np.linalg.inv(information)))
    bins = calibration_bins(outcome, probability)
    ece = sum(n * abs(predicted - seen) for predicted, seen, n in bins) / outcome.size
    found = {
        "slope": weights[0],
        "slope_low": weights[0] - half[0],
        "slope_high": weights[0] + half[0],
        "intercept": weights[1],
        "intercept_low": weights[1] - half[1],
        "intercept_high": weights[1] + half[1],
        "ece": ece,
        "citl": float(outcome.mean() - probability.mean()),
    }
    return {name: round(float(value), 6) for name, value in found.items() if math.isfinite(value)}


def _likelihood(margin: Floats, outcome: Floats) -> float:
    """The log-likelihood of outcomes with these log-odds."""
    return float((outcome * margin - np.logaddexp(0.0, margin)).sum())
