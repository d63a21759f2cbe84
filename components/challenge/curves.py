"""How the answer moves with one feature: partial dependence, accumulated local effects, shocks of a deviation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.challenge.delong import paired_difference
from components.challenge.item import Item, judged
from components.challenge.stress import Score, decisions, within
from components.config import Challenge
from serinus.contract import Contract, Feature
from serinus.intervals import Z95, wilson
from serinus.model import Levels

Floats = NDArray[np.float64]
GRID, LEVELS, BINS = 13, 12, 12
ROWS, LOCAL, SHOCKED = 1_000, 4_000, 10_000
"""Rows of the test part behind a partial dependence, a local effect and a shock."""


def of_curves(
    settings: Challenge, contract: Contract, levels: Levels, rows: Floats, score: Score
) -> tuple[Item, list[dict[str, Any]]]:
    """Directions that the average answer contradicts, and for each feature its curves.

    Partial dependence (Friedman 2001) is the mean probability with the feature set to a value in every row, and
    speaks of rows that may not exist where features hang together; accumulated local effects (Apley and Zhu 2020) only
    of changes between neighbouring values among the rows that have them. A declared direction is contradicted where
    a step of the partial dependence goes against it by more than chance (paired over the rows, Bonferroni).

    Returns:
        The item, and one entry a feature: ``feature``, ``kind`` (number, category), ``direction``, ``pdp`` and ``ale``
        as rows (value, mean, low, high), the interval of 95 % of the mean over the rows; ``ale`` is
        centred at 0 and empty for categories, which have no neighbours.
    """
    chosen, local = spread(rows, ROWS), spread(rows, LOCAL)
    table: list[dict[str, Any]] = []
    against: list[str] = []
    declared = 0
    for i, feature in enumerate(contract.features):
        names = levels.get(feature.name, ())
        category = contract.is_categorical(feature)
        grid = np.arange(min(len(names), LEVELS), dtype=np.float64) if category else _grid(rows[:, i])
        if grid.size < 2:
            continue
        answers = np.array([score(_set(chosen, i, value)) for value in grid])
        means, half = answers.mean(axis=1), Z95 * answers.std(axis=1, ddof=1) / math.sqrt(chosen.shape[0])
        at: list[Any] = [names[int(value)] for value in grid] if category else [_short(v) for v in grid]
        table.append(
            {
                "feature": feature.name,
                "kind": "category" if category else "number",
                "direction": feature.monotone,
                "pdp": _points(at, means, means - half, means + half),
                "ale": [] if category else _local_effects(local, i, score),
            }
        )
        if feature.monotone and not category:
            declared += 1
            against += [feature.name] if _contradicts(feature, answers) else []
    limit = settings.contradicted_directions
    if not declared:
        why = "the contract declares no direction"
        return judged("sensitivity", "contradicted_directions", None, maximum=limit, why=why), table
    why = f"of {declared} declared" + (f": {', '.join(against)}" if against else "")
    item = judged(
        "sensitivity",
        "contradicted_directions",
        float(len(against)),
        maximum=limit,
        why=why,
        n=chosen.shape[0],
    )
    return item, table


def of_shocks(
    settings: Challenge, contract: Contract, rows: Floats, outcome: Floats, score: Score
) -> tuple[Item, list[dict[str, Any]]]:
    """Every number moved up and down by its standard deviation, one at a time: what that does to answers.

    Whole numbers move by whole ones, at least one; what is moved stays in the contract's range, where there is none in
    the range that was seen. What is missing stays missing. The outcome is taken to stay what it was.
    """
    picked = np.linspace(0, rows.shape[0] - 1, min(SHOCKED, rows.shape[0])).astype(int)
    chosen, known = rows[picked], outcome[picked]
    before = score(chosen)
    decided = decisions(contract, before)
    table: list[dict[str, Any]] = []
    worst: tuple[int, str] = (-1, "")
    for i, feature in enumerate(contract.features):
        values = rows[np.isfinite(rows[:, i]), i]
        if contract.is_categorical(feature) or values.size < 2 or not (deviation := float(values.std())):
            continue
        whole = bool((values == np.round(values)).all())
        by = max(round(deviation), 1) if whole else deviation
        for sign, word in ((1, "up"), (-1, "down")):
            moved = chosen.copy()
            moved[:, i] = within(contract, feature, chosen[:, i] + sign * by, seen=values)
            after = score(moved)
            change = after - before
            half = Z95 * float(change.std(ddof=1)) / math.sqrt(change.size)
            lost, low, high = paired_difference(known, before, after)
            flips = int((decided != decisions(contract, after)).sum())
            worst = max(worst, (flips, f"{feature.name} {word}"))
            table.append(
                {
                    "feature": feature.name,
                    "moved": word,
                    "by": _short(by),
                    "probability_change": float(change.mean()),
                    "probability_change_low": float(change.mean()) - half,
                    "probability_change_high": float(change.mean()) + half,
                    "auc_lost": _told(lost),
                    "auc_lost_low": _told(low),
                    "auc_lost_high": _told(high),
                    "decisions_changed": flips / change.size,
                }
            )
    name, limit = "shock_decisions_changed", settings.shock_decisions_changed
    if not table:
        return judged("sensitivity", name, None, maximum=limit, why="no feature is a number that varies"), []
    n = picked.size
    return judged(
        "sensitivity", name, worst[0] / n, interval=wilson(worst[0], n), maximum=limit, why=worst[1], n=n
    ), table


def spread(rows: Floats, most: int) -> Floats:
    """At most so many rows, evenly from the first to the last."""
    return rows[np.linspace(0, rows.shape[0] - 1, min(most, rows.shape[0])).astype(int)]


def _grid(values: Floats) -> Floats:
    """Quantiles from the 1st to the 99th percentile, each once: nobody's smallest or largest value."""
    present = values[np.isfinite(values)]
    return np.unique(np.quantile(present, np.linspace(0.01, 0.99, GRID))) if present.size else present


def _local_effects(rows: Floats, place: int, score: Score) -> list[list[Any]]:
    rows = rows[np.isfinite(rows[:, place])]
    if rows.shape[0] < 2:
        return []
    values = rows[:, place]
    edges = np.unique(np.quantile(values, np.linspace(0.01, 0.99, BINS + 1)))
    if edges.size < 2:
        return []
    cell = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, edges.size - 2)
    low, high = rows.copy(), rows.copy()
    low[:, place], high[:, place] = edges[cell], edges[cell + 1]
    step = score(high) - score(low)
    counts = np.bincount(cell, minlength=edges.size - 1)
    full = np.maximum(counts, 1)
    mean = np.bincount(cell, weights=step, minlength=counts.size) / full
    square = np.bincount(cell, weights=step**2, minlength=counts.size) / full
    spread_ = np.sqrt(np.cumsum(np.maximum(square - mean**2, 0.0) / full))
    total = np.concatenate([[0.0], np.cumsum(mean)])
    total -= np.average((total[1:] + total[:-1]) / 2, weights=counts)
    half = Z95 * np.concatenate([[0.0], spread_])
    return _points([_short(edge) for edge in edges], total, total - half, total + half)


def _contradicts(feature: Feature, answers: Floats) -> bool:
    steps = feature.monotone * np.diff(answers, axis=0)
    far = NormalDist().inv_cdf(1 - 0.025 / steps.shape[0])
    half = far * steps.std(axis=1, ddof=1) / math.sqrt(steps.shape[1])
    return bool((steps.mean(axis=1) + half < -1e-9).any())


def _set(rows: Floats, place: int, value: float) -> Floats:
    found = rows.copy()
    found[:, place] = value
    return found


def _points(at: Sequence[Any], mean: Floats, low: Floats, high: Floats) -> list[list[Any]]:
    lines = zip(mean.tolist(), low.tolist(), high.tolist(), strict=True)
    return [[x, *(round(v, 6) for v in line)] for x, line in zip(at, lines, strict=True)]


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _told(value: float) -> float | None:
    return value if math.isfinite(value) else None
