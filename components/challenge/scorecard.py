"""A plain scorecard on the same rows: how much the model is better than what anybody can read."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.challenge.delong import auc_interval, paired_difference
from components.challenge.item import Item, judged
from components.config import Scorecard, Training
from serinus.contract import Contract
from serinus.intervals import Z95
from serinus.model import Levels

Floats = NDArray[np.float64]
FEW = 20
"""Bad outcomes below which none is fitted or compared."""
RIDGE = 1.0
STEPS, CLOSE = 50, 1e-9
POINTS, ODDS, DOUBLE = 600, 50, 20
"""600 points are odds of 50 good to 1 bad, and 20 points more double them: a usual scale (Siddiqi 2006)."""
FACTOR = DOUBLE / math.log(2)


def of_scorecard(
    settings: Scorecard,
    contract: Contract,
    training: Training,
    levels: Levels,
    train: tuple[Floats, Floats],
    test: tuple[Floats, Floats, Floats],
) -> tuple[Item, dict[str, Any]]:
    """The model against a logistic regression on weights of evidence.

    Numbers are cut into equally filled bins of the training rows; missing values are a bin of their own, and so are
    each level and a lowest value that more than its share of the rows have. A bin's weight of evidence is the
    logarithm of its odds of a bad outcome over those of all rows (half a row added to each count). It leaves out
    what the model leaves out; it knows no mitigation and is not tuned.

    Args:
        train: encoded rows (n, F) and outcomes; test: those of the test rows, and the model's probabilities.

    Returns:
        The item (AUC of the model less the scorecard's, DeLong, paired) and the card: ``auc`` with its
        interval, ``base`` points, ``features`` (coefficient with interval, points between best and worst bin) and
        ``bins`` (rows, share of bad outcomes, weight of evidence, points). Empty where it could not be fitted.
    """
    name, least = "scorecard_auc_gain", settings.auc_gain_min if settings.demand != "report" else None
    rows, outcome = train
    if min(int(outcome.sum()), int((1 - outcome).sum()), int(test[1].sum()), int((1 - test[1]).sum())) < FEW:
        why = f"fewer than {FEW} outcomes of a kind among the training or the test rows"
        return judged("benchmark", name, None, minimum=least, why=why), {}
    used, bins, taught, judged_rows = [], [], [], []
    for i, feature in enumerate(contract.features):
        if feature.name in training.exclude:
            continue
        names = levels.get(feature.name, ()) if contract.is_categorical(feature) else None
        cells, edges = _cells(rows[:, i], settings.bins, names)
        weight, lines = _evidence(cells, outcome, edges, names)
        if len(lines) < 2:
            continue
        used.append(feature.name)
        bins.append(lines)
        taught.append(weight[cells])
        judged_rows.append(weight[_place(test[0][:, i], edges, names)])
    if not used:
        return judged("benchmark", name, None, minimum=least, why="no feature varies"), {}
    coefficients, error = logistic(np.column_stack(taught), outcome)
    said = coefficients[0] + np.column_stack(judged_rows) @ coefficients[1:]
    area, low, high = auc_interval(test[1], said)
    gain, gain_low, gain_high = paired_difference(test[1], test[2], said)
    item = judged(
        "benchmark", name, gain, interval=(gain_low, gain_high), minimum=least, n=int(test[1].size),
        why=f"scorecard {area:.4f} on {len(used)} features, {rows.shape[0]:,} training rows",
    )  # fmt: skip
    if item.verdict == "fail" and least is not None and gain_high >= least:
        item = msgspec.structs.replace(
            item, verdict="no_data", blocks=False, why=f"{item.why}; may be chance"
        )
    elif settings.demand == "warn":
        item = msgspec.structs.replace(item, blocks=False)
    return item, {
        "auc": area,
        "auc_low": low,
        "auc_high": high,
        "rows": int(rows.shape[0]),
        "base": round(POINTS - FACTOR * (float(coefficients[0]) + math.log(ODDS)), 1),
        "features": [
            {
                "feature": feature,
                "coefficient": float(coefficients[1 + k]),
                "low": float(coefficients[1 + k] - Z95 * error[1 + k]),
                "high": float(coefficients[1 + k] + Z95 * error[1 + k]),
                "points_apart": round(FACTOR * abs(float(coefficients[1 + k])) * _range(bins[k]), 1),
            }
            for k, feature in enumerate(used)
        ],
        "bins": [
            {"feature": feature}
            | line
            | {"points": round(-FACTOR * float(coefficients[1 + k]) * line["evidence"], 1)}
            for k, feature in enumerate(used)
            for line in bins[k]
        ],
    }


def logistic(rows: Floats, outcome: Floats) -> tuple[Floats, Floats]:
    """Coefficients and their standard errors, the intercept first, by Newton's method.

    A ridge of 1 on the coefficients (not the intercept) keeps features that say the same apart; the errors
    are those of the penalised likelihood's curvature. A step that makes the likelihood smaller overshot, as the first
    ones do where outcomes are rare and weights are large, and is halved until it does not.
    """
    design = np.column_stack([np.ones(rows.shape[0]), rows])
    penalty = np.full(design.shape[1], RIDGE)
    penalty[0] = 0.0
    rate = outcome.mean()
    found = np.zeros(design.shape[1])
    found[0] = math.log(rate / (1 - rate))
    curvature = np.eye(design.shape[1])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ found, -35, 35)))
        curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, design.T @ (outcome - p) - penalty * found)
        before = _loss(design, outcome, penalty, found)
        while np.abs(step).max() >= CLOSE and _loss(design, outcome, penalty, found + step) > before:
            step = step / 2
        found = found + step
        if np.abs(step).max() < CLOSE:
            break
    return found, np.sqrt(np.diag(np.linalg.inv(curvature)))


def _loss(design: Floats, outcome: Floats, penalty: Floats, coefficients: Floats) -> float:
    """Less of it is more of the penalised likelihood."""
    said = design @ coefficients
    return float(np.logaddexp(0, said).sum() - outcome @ said + (penalty * coefficients**2).sum() / 2)


def _cells(values: Floats, bins: int, names: Any) -> tuple[NDArray[np.intp], Floats]:
    present = values[np.isfinite(values)]
    edges = np.empty(0)
    if names is None and present.size:
        lowest = present.min()
        above = present[present > lowest]
        if above.size and above.size < present.size * (1 - 1 / bins):
            # Most counts and rates are 0 for most rows: that is a bin, and the others share what is left.
            edges = np.unique([above.min(), *np.quantile(above, np.linspace(0, 1, bins)[1:-1])])
        else:
            edges = np.unique(np.quantile(present, np.linspace(0, 1, bins + 1)[1:-1]))
            edges = edges[edges > lowest]
    return _place(values, edges, names), edges


def _place(values: Floats, edges: Floats, names: Any) -> NDArray[np.intp]:
    """The bin of each value; the last one is for what is missing or was never seen."""
    count = edges.size + 1 if names is None else len(names)
    known = np.isfinite(values)
    plain = np.where(known, values, 0.0)
    cells = np.searchsorted(edges, plain, side="right") if names is None else plain.astype(np.intp)
    return np.where(known & (cells >= 0) & (cells < count), cells, count).astype(np.intp)


def _evidence(
    cells: NDArray[np.intp], outcome: Floats, edges: Floats, names: Any
) -> tuple[Floats, list[dict[str, Any]]]:
    """Weight of evidence by bin (0 where no training row was), and the bins that have rows."""
    count = (edges.size + 1 if names is None else len(names)) + 1
    rows = np.bincount(cells, minlength=count)
    bad = np.bincount(cells, weights=outcome, minlength=count)
    odds = (bad + 0.5) / (rows - bad + 0.5)
    weight = np.where(rows > 0, np.log(odds / ((bad.sum() + 0.5) / ((rows - bad).sum() + 0.5))), 0.0)
    labels = [*(_labels(edges) if names is None else names), "missing"]
    lines = [
        {
            "bin": labels[k],
            "rows": int(rows[k]),
            "bad_share": round(float(bad[k] / rows[k]), 6),
            "evidence": round(float(weight[k]), 6),
        }
        for k in range(count)
        if rows[k]
    ]
    return weight, lines


def _labels(edges: Floats) -> list[str]:
    if not edges.size:
        return ["any"]
    said = [f"{edge:.4g}" for edge in edges]
    inner = [f"{a} to {b}" for a, b in pairwise(said)]
    return [f"below {said[0]}", *inner, f"{said[-1]} and more"]


def _range(lines: list[dict[str, Any]]) -> float:
    evidence = [line["evidence"] for line in lines]
    return max(evidence) - min(evidence)
