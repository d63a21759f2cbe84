"""Whether probabilities are to be believed: Hosmer-Lemeshow over all, Jeffreys' test grade by grade."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from components.challenge.item import Item, judged
from components.config import Challenge
from components.evaluate.metrics import calibration_bins
from serinus.watching.laws import beta_cdf, chi_square_sf

Floats = NDArray[np.float64]
GRADES = 10


def hosmer_lemeshow(outcome: Floats, probability: Floats, grades: int = GRADES) -> tuple[float, float]:
    """The statistic over equally filled grades and its p-value, chi-square with as many degrees of freedom as
    grades (Hosmer and Lemeshow 2000, for rows that the model was not fitted on); NaN below five expected
    outcomes of either kind in a grade, where the law does not hold."""
    statistic, used = 0.0, 0
    for mean, share, rows in calibration_bins(outcome, probability, grades):
        expected = mean * rows
        if expected < 5 or rows - expected < 5:
            continue
        statistic += (share * rows - expected) ** 2 / (expected * (1 - mean))
        used += 1
    return (statistic, chi_square_sf(statistic, used)) if used >= 2 else (math.nan, math.nan)


def jeffreys(bad: int, rows: int, predicted: float) -> float:
    """P-value against the grade's bad outcomes being more than predicted: the probability, under Jeffreys' posterior
    Beta(bad + 1/2, rows - bad + 1/2), that the true share is at most ``predicted`` (ECB, instructions for
    reporting the validation results of internal models, 2019)."""
    return beta_cdf(predicted, bad + 0.5, rows - bad + 0.5)


def of_calibration(
    settings: Challenge, outcome: Floats, probability: Floats
) -> tuple[list[Item], list[dict[str, float]]]:
    """The items, and the table of grades with Jeffreys' p-value of each."""
    statistic, p_value = hosmer_lemeshow(outcome, probability)
    table = [
        {
            "predicted": round(mean, 6),
            "observed": round(share, 6),
            "rows": rows,
            "p_underestimated": jeffreys(round(share * rows), rows, mean),
        }
        for mean, share, rows in calibration_bins(outcome, probability, GRADES)
    ]
    # Holm over the grades: the smallest p-value times their number bounds the chance of any false alarm.
    worst = min((row["p_underestimated"] for row in table), default=math.nan)
    items = [
        judged(
            "calibration",
            "hosmer_lemeshow_p",
            p_value,
            minimum=settings.hosmer_lemeshow_p,
            why=f"chi-square {statistic:.2f}"
            if math.isfinite(statistic)
            else "too few outcomes in the grades",
            n=int(outcome.size),
        ),
        judged(
            "calibration",
            "jeffreys_p",
            min(1.0, worst * len(table)) if table else math.nan,
            minimum=settings.jeffreys_p,
            why="the grade whose risk is most underestimated, corrected for the number of grades",
            n=int(outcome.size),
        ),
    ]
    return items, table
