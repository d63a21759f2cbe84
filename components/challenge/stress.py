"""What the model does when the world, or a source of data, is not as it was: scenarios, lost inputs, edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.challenge.delong import auc_interval, paired_difference
from components.challenge.item import Item, judged
from components.config import Challenge, Scenario
from serinus.contract import Contract

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
        column = contract.source(contract.feature(name))
        if column is not None:
            low = -np.inf if column.min is None else column.min
            high = np.inf if column.max is None else column.max
            found[:, place[name]] = np.clip(found[:, place[name]], low, high)
    for name in scenario.missing:
        found[:, place[name]] = np.nan
    return found


def of_scenarios(
    settings: Challenge, contract: Contract, rows: Floats, outcome: Floats, score: Score
) -> tuple[list[Item], list[dict[str, Any]]]:
    """One item for each scenario: the AUC in it (the outcome is taken to stay what it was), and the table."""
    before = score(rows)
    decided = _decisions(contract, before)
    items: list[Item] = []
    table: list[dict[str, Any]] = []
    for scenario in settings.scenarios:
        after = score(changed(scenario, contract, rows))
        area, low, high = auc_interval(outcome, after)
        lost, lost_low, lost_high = paired_difference(outcome, before, after)
        approved = [float((p < contract.decision.adverse_at).mean()) for p in (before, after)]
        flips = float((decided != _decisions(contract, after)).mean())
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
            )
        )
        if scenario.approved_change_max is not None:
            change = abs(approved[1] - approved[0])
            items.append(
                judged(
                    "stress",
                    f"{scenario.name} approvals",
                    change,
                    maximum=scenario.approved_change_max,
                    why=why,
                )
            )
    return items, table


def of_lost_inputs(
    settings: Challenge, contract: Contract, rows: Floats, outcome: Floats, score: Score
) -> tuple[list[Item], list[dict[str, Any]]]:
    """Each feature missing in every row, one after the other: how much AUC that costs at most."""
    before = score(rows)
    decided = _decisions(contract, before)
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
                "decisions_changed": float((decided != _decisions(contract, after)).mean()),
            }
        )
    worst = max(table, key=lambda row: row["auc_lost"])
    item = judged(
        "stress", "input_lost_auc", worst["auc_lost"], interval=(worst["low"], worst["high"]),
        maximum=settings.input_lost_auc, why=f"without {worst['feature']}",
    )  # fmt: skip
    return [item], table


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
        "stress", "edges_without_probability", float(len(broken)), maximum=0, why=", ".join(broken[:5])
    )


def _ends(contract: Contract, name: str, values: Floats) -> list[float]:
    feature = contract.feature(name)
    column = contract.source(feature) if feature.part is None and feature.aggregate is None else None
    present = values[np.isfinite(values)]
    seen = (float(present.min()), float(present.max())) if present.size else (0.0, 0.0)
    low = seen[0] if column is None or column.min is None else column.min
    high = seen[1] if column is None or column.max is None else column.max
    return [low, high, 1000 * seen[1], -1000 * abs(seen[0])]


def _decisions(contract: Contract, probability: Floats) -> NDArray[np.int8]:
    return (probability >= contract.decision.adverse_at).astype(np.int8) + (
        probability >= contract.decision.decline_at
    )
