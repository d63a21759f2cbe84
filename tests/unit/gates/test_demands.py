"""Intervals of the metrics, and demands that are held against them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.config import Gate, Gates
from components.evaluate.evaluate import intervals_of, measure, single_features, skill_interval
from components.evaluate.names import METRICS
from components.gate.gate import of_challenge, of_metrics, overall
from serinus.contract import dump_contract
from tests.unit.components.support import contract

COSTLY = contract(decision={"decline_at": 0.5, "cost_false_positive": 5, "cost_false_negative": 120})
ALONE = ("auc_low", "auc_drop", "single_feature_auc")
"""An end of another's interval, and two that evaluate adds itself."""


def sample(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-random.normal(-1.2, 1.3, n)))
    return (random.random(n) < p).astype(np.float64), p


@pytest.mark.parametrize("metric", sorted(set(METRICS) - set(ALONE)))
def test_every_metric_has_an_interval_that_holds_it_and_narrows_with_rows(metric: str) -> None:
    widths = []
    for n in (600, 9600):
        outcome, p = sample(n, 1)
        value = measure(COSTLY, outcome, p, p)[metric]
        low, high = intervals_of(outcome, p, p, COSTLY)[metric]
        assert low <= value <= high
        widths.append(high - low)
    assert widths[1] < 0.5 * widths[0]


def test_the_interval_of_the_skill_is_what_drawing_the_rows_anew_gives() -> None:
    outcome, p = sample(2000, 2)
    random = np.random.default_rng(3)

    def skill(rows: np.ndarray) -> float:
        base = outcome[rows].mean()
        return float(1 - ((p[rows] - outcome[rows]) ** 2).mean() / (base * (1 - base)))

    drawn = [skill(random.integers(0, 2000, 2000)) for _ in range(1500)]
    found = skill_interval((p - outcome) ** 2, outcome)
    assert found == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.15 * float(np.std(drawn)) + 0.003)


def report(value: float | None, interval: tuple[float, float] | None) -> dict[str, Any]:
    return {
        "metrics": {"precision_at_decline": value}, "intervals": {"precision_at_decline": interval},
        "counts": {"precision_at_decline": 87}, "rows": 17_789,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("by", "value", "interval", "verdict"),
    [
        ("value", 0.92, (0.84, 0.96), "pass"),
        ("interval", 0.92, (0.84, 0.96), "fail"),
        ("interval", 0.95, (0.91, 0.97), "pass"),
        ("interval", 0.95, None, "no_data"),
        ("value", 0.95, None, "pass"),
        ("value", None, None, "no_data"),
        ("value", float("nan"), None, "no_data"),
    ],
)
def test_a_demand_is_on_the_value_or_on_the_worse_end_of_its_interval(
    by: Any, value: float | None, interval: Any, verdict: str
) -> None:
    gates = Gates(metrics=(Gate(metric="precision_at_decline", min=0.9, by=by),))
    (demand,) = of_metrics(gates, report(value, interval))
    assert demand.verdict == verdict
    assert overall([demand]) == verdict
    assert demand.n == 87
    assert demand.what == METRICS["precision_at_decline"]
    assert ("the whole interval" in demand.threshold) == (by == "interval")


def test_a_category_that_names_the_outcome_is_found_whatever_its_levels_are_called() -> None:
    """Levels in alphabetical order say nothing of the outcome; what they were in training does."""
    random = np.random.default_rng(4)
    agreed = contract(features=[{"name": "purpose", "column": "purpose"}])
    codes = random.integers(0, 40, 4000)
    told: np.ndarray = ((codes % 2 == 1) ^ (random.random(4000) < 0.005)).astype(np.float64)
    rows = codes[:, None].astype(np.float64)
    found = single_features(agreed, rows[2000:], told[2000:], (rows[:2000], told[:2000]))
    assert found["purpose"] > 0.98
    chance: np.ndarray = random.permutation(told)
    silent = single_features(agreed, rows[2000:], chance[2000:], (rows[:2000], chance[:2000]))
    assert silent["purpose"] < 0.6
    assert dump_contract(agreed)["features"]


@pytest.mark.parametrize(
    ("least", "most", "threshold"),
    [(None, 1e4, "<= 10,000"), (0.000125, 1.0, ">= 0.000125 and <= 1")],
)
def test_a_limit_reads_as_it_was_written(least: float | None, most: float, threshold: str) -> None:
    gates = Gates(metrics=(Gate(metric="precision_at_decline", min=least, max=most),))
    (demand,) = of_metrics(gates, report(0.5, None))
    assert demand.threshold == threshold


def test_a_default_bound_in_microseconds_has_no_exponent() -> None:
    item = {
        **{"name": "one_row_explained_us", "value": 12_345.6, "minimum": None, "maximum": 10_000.0},
        **{"low": None, "high": None, "n": 25, "group": "latency", "what": "", "why": ""},
        **{"verdict": "fail", "blocks": True},
    }
    assert [demand.threshold for demand in of_challenge({"items": [item]})] == ["<= 10,000"]
