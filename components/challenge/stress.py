"""What the model does when the world, or a source of data, is not as it was: scenarios, lost inputs, edges."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.challenge.delong import auc_interval, paired_difference
from components.challenge.item import Item, judged
from components.config import Challenge, Scenario
from serinus.contract import Contract, Feature
from serinus.intervals import Z95, wilson

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""Encoded rows (n, F) to calibrated probabilities (n,)."""


def changed(scenario: Scenario, contract: Contract, rows: Floats) -> Floats:
    """The rows in the scenario: numbers multiplied and shifted, kept in the contract's range, inputs lost."""
    found = rows.copy()
    place = {name: i for i, name in enumerate(contract.feature_names)}
    for name, factor in scenario.multiply.items():
        found[:, place[name]] *= factor
    for name, shift in scenario.add.items():
        found[:, place[name]] += shift
    for name in {*scenario.multiply, *scenario.add}:
        found[:, place[name]] = within(contract, contract.feature(name), found[:, place[name]])
    for name in scenario.missing:
        found[:, place[name]] = np.nan
    return found


def within(contract: Contract, feature: Feature, values: Floats, *, seen: Floats | None = None) -> Floats:
    """Values kept in the contract's range of the feature; where it sets no end, in what was seen, if that is given."""
    column = contract.source(feature)
    low, high = (column.min, column.max) if column is not None else (None, None)
    if seen is not None:
        low, high = seen.min() if low is None else low, seen.max() if high is None else high
    return np.clip(values, -np.inf if low is None else low, np.inf if high is None else high)


def of_scenarios(
    settings: Challenge, contract: Contract, rows: Floats, outcome: Floats, score: Score
) -> tuple[list[Item], list[dict[str, Any]]]:
    """One item for each scenario: the AUC in it (the outcome is taken to stay what it was), and the table."""
    before = score(rows)
    decided = decisions(contract, before)
    items: list[Item] = []
    table: list[dict[str, Any]] = []
    for scenario in settings.scenarios:
        after = score(changed(scenario, contract, rows))
        area, low, high = auc_interval(outcome, after)
        lost, lost_low, lost_high = paired_difference(outcome, before, after)
        approved = [float((p < contract.decision.adverse_at).mean()) for p in (before, after)]
        flips = float((decided != decisions(contract, after)).mean())
        approved_bad = _approved_bad(contract, scenario, outcome, after)
        strained = _observed_to_expected(scenario, outcome, after)
        table.append(
            {
                "name": scenario.name,
                "auc": area,
                "auc_lost": lost,
                "auc_lost_low": lost_low,
                "auc_lost_high": lost_high,
                "approved_before": approved[0],
                "approved": approved[1],
                "decisions_changed": flips,
                "approved_bad": approved_bad[0],
                "observed_to_expected": strained[0],
            }
        )
        why = f"approved {approved[0]:.1%} before, {approved[1]:.1%} in it; AUC lost {lost:.3f}"
        items.append(
            judged(
                "stress",
                f"{scenario.name} AUC",
                area,
                interval=(low, high),
                minimum=scenario.auc_min,
                why=why,
                n=int(outcome.size),
                what="area under the ROC curve in the scenario, the outcome held",
            )
        )
        of_odds = (
            ("approved bad", approved_bad, scenario.approved_bad_max, "among the approved"),
            ("underestimated", strained, scenario.underestimated_max, "over those that the model expects"),
        )
        for name, found, maximum, whose in of_odds:
            if scenario.bad_odds != 1 or maximum is not None:
                items.append(
                    judged(
                        "stress", f"{scenario.name} {name}", found[0], interval=found[1:], maximum=maximum,
                        n=int(outcome.size), why=f"the odds of a bad outcome times {scenario.bad_odds:g}",
                        what=f"bad outcomes {whose}, in the scenario",
                    )
                )  # fmt: skip
        if scenario.approved_change_max is not None:
            change = abs(approved[1] - approved[0])
            items.append(
                judged(
                    "stress",
                    f"{scenario.name} approvals",
                    change,
                    maximum=scenario.approved_change_max,
                    why=why,
                    n=int(outcome.size),
                    what="change of the share approved, in the scenario",
                )
            )
    return items, table


def of_lost_inputs(
    settings: Challenge, contract: Contract, rows: Floats, outcome: Floats, score: Score
) -> tuple[list[Item], list[dict[str, Any]]]:
    """Each feature missing in every row, one after the other: how much AUC that costs at most."""
    before = score(rows)
    decided = decisions(contract, before)
    table: list[dict[str, Any]] = []
    for i, name in enumerate(contract.feature_names):
        without = rows.copy()
        without[:, i] = np.nan
        after = score(without)
        lost, low, high = paired_difference(outcome, before, after)
        table.append(
            {
                "feature": name,
                "auc_lost": lost,
                "low": low,
                "high": high,
                "decisions_changed": float((decided != decisions(contract, after)).mean()),
            }
        )
    worst = max(table, key=lambda row: row["auc_lost"])
    item = judged(
        "stress", "input_lost_auc", worst["auc_lost"], interval=(worst["low"], worst["high"]),
        maximum=settings.input_lost_auc, why=f"without {worst['feature']}", n=int(outcome.size),
    )  # fmt: skip
    return [item], table


def of_missing(settings: Challenge, contract: Contract, rows: Floats, outcome: Floats, score: Score) -> Item:
    """Values missing at random, the same share of every feature (seeded): how much AUC that costs."""
    gone = np.random.default_rng(2).random(rows.shape) < settings.missing_share
    before, after = score(rows), score(np.where(gone, np.nan, rows))
    lost, low, high = paired_difference(outcome, before, after)
    changed = float((decisions(contract, before) != decisions(contract, after)).mean())
    return judged(
        "stress", "missing_auc_lost", lost, interval=(low, high), maximum=settings.missing_auc_lost,
        why=f"{settings.missing_share:.0%} of all values missing; {changed:.1%} of the decisions change",
        n=int(outcome.size),
    )  # fmt: skip


def of_edges(contract: Contract, rows: Floats, levels: Sequence[int], score: Score) -> Item:
    """Every number at the ends of its range and far beyond it: probabilities must stay probabilities."""
    broken: list[str] = []
    for i, name in enumerate(contract.feature_names):
        if levels[i]:
            continue
        for value in (*_ends(contract, name, rows[:, i]), np.nan):
            there = rows.copy()
            there[:, i] = value
            found = score(there)
            if not (np.isfinite(found).all() and (found >= 0).all() and (found <= 1).all()):
                broken.append(f"{name}={value:g}")
    return judged(
        "stress", "edges_without_probability", float(len(broken)), maximum=0, why=", ".join(broken[:5]),
        n=rows.shape[0],
    )  # fmt: skip


def _approved_bad(
    contract: Contract, scenario: Scenario, outcome: Floats, after: Floats
) -> tuple[float, float, float]:
    """Bad outcomes among the approved where the odds are other ones: a share's odds multiplied, and its interval's."""
    approved = after < contract.decision.adverse_at
    bad, rows = int(outcome[approved].sum()), int(approved.sum())
    if not rows:
        return math.nan, math.nan, math.nan
    share, low, high = (
        scenario.bad_odds * s / (1 - s + scenario.bad_odds * s) for s in (bad / rows, *wilson(bad, rows))
    )
    return share, low, high


def _observed_to_expected(scenario: Scenario, outcome: Floats, after: Floats) -> tuple[float, float, float]:
    """Bad outcomes over those expected, rows with a bad one weighing ``bad_odds``: a ratio of means (delta method)."""
    weight = np.where(outcome == 1, scenario.bad_odds, 1.0)
    observed, expected = weight * outcome, weight * after
    if outcome.size < 2 or not expected.sum():
        return math.nan, math.nan, math.nan
    value = float(observed.sum() / expected.sum())
    spread = float((observed - value * expected).std(ddof=1)) / float(expected.mean())
    half = Z95 * spread / math.sqrt(outcome.size)
    return value, value - half, value + half


def _ends(contract: Contract, name: str, values: Floats) -> list[float]:
    feature = contract.feature(name)
    column = contract.source(feature) if feature.part is None and feature.aggregate is None else None
    present = values[np.isfinite(values)]
    seen = (float(present.min()), float(present.max())) if present.size else (0.0, 0.0)
    low = seen[0] if column is None or column.min is None else column.min
    high = seen[1] if column is None or column.max is None else column.max
    return [low, high, 1000 * seen[1], -1000 * abs(seen[0])]


def decisions(contract: Contract, probability: Floats) -> NDArray[np.int8]:
    """0 approved, 1 referred to a person, 2 declined, (n,)."""
    return (probability >= contract.decision.adverse_at).astype(np.int8) + (
        probability >= contract.decision.decline_at
    )
