"""Paired comparison: the tests' laws against other people's code, and what follows from their verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from components.challenge.item import Item
from components.champion.compare import Costs, compare, no_champion, nothing
from components.config import Champion
from serinus.contract import Decision

Floats = np.ndarray
RULE = Decision(decline_at=0.5, review_at=0.3)
COSTS = Costs(5.0, 120.0)


def scored(n: int, seed: int, noise: float = 0.0) -> tuple[Floats, Floats, Floats]:
    """Outcomes, true probabilities, and the same with noise in their log-odds."""
    random = np.random.default_rng(seed)
    margin = random.normal(-1.5, 1.5, n)
    p = 1 / (1 + np.exp(-margin))
    other = 1 / (1 + np.exp(-(margin + random.normal(0, noise, n)))) if noise else p
    return (random.random(n) < p).astype(np.float64), p, other


def compared(
    outcome: Floats, mine: Floats, theirs: Floats, config: Champion | None = None, **options: Any
) -> tuple[dict[str, Item], dict[str, Any]]:
    items, tables = compare(
        config or Champion(), outcome, candidate=(mine, mine), champion=(theirs, theirs), rules=(RULE, RULE),
        costs=COSTS, **options,
    )  # fmt: skip
    return {item.name: item for item in items}, tables


def test_a_model_against_itself_differs_in_nothing() -> None:
    outcome, p, _ = scored(3000, 1)
    items, tables = compared(outcome, p, p)
    for name in ("champion_auc", "champion_cost", "champion_precision", "champion_recall"):
        assert (items[name].value, items[name].low, items[name].high) == (0.0, 0.0, 0.0)
    assert (items["champion_errors_p"].verdict, items["champion_errors_p"].value) == ("no_data", None)
    assert [row["rows"] for row in tables["swap_set"]] == [0, 0]


@pytest.mark.parametrize(
    ("demand", "rows", "noise_mine", "noise_theirs", "verdict"),
    [
        ("non_inferior", 20_000, 0.0, 0.0, "pass"),
        ("non_inferior", 20_000, 0.1, 0.0, "pass"),
        ("non_inferior", 20_000, 3.0, 0.0, "fail"),
        ("non_inferior", 120, 0.6, 0.6, "no_data"),
        ("superior", 20_000, 0.0, 2.0, "pass"),
        ("superior", 20_000, 2.0, 0.0, "fail"),
        ("superior", 20_000, 0.4, 0.4, "no_data"),
    ],
)
def test_the_verdict_is_by_the_whole_interval(
    demand: Any, rows: int, noise_mine: float, noise_theirs: float, verdict: str
) -> None:
    outcome, p, _ = scored(rows, 2)
    random = np.random.default_rng(3)
    mine, theirs = (p * np.exp(random.normal(0, s, rows)) if s else p for s in (noise_mine, noise_theirs))
    for undecided in ("report", "stop"):
        config = Champion(demand=demand, undecided=undecided)  # type: ignore[arg-type]
        item = compared(outcome, mine.clip(0, 1), theirs.clip(0, 1), config)[0]["champion_auc"]
        assert item.verdict == verdict
        assert item.blocks == (verdict != "no_data" or undecided == "stop")


def test_an_inferior_candidate_is_let_through_as_often_as_it_says() -> None:
    """At a true difference of exactly the margin, non-inferiority is shown in 2.5 % of the samples."""
    large = scored(400_000, 10, 1.0)
    truth = compared(*large)[0]["champion_auc"].value
    assert truth is not None
    config = Champion(auc_margin=truth)  # the candidate is the better one: as seen from the other side
    shown = sum(
        compared(outcome, noisy, p, config)[0]["champion_auc"].verdict == "pass"
        for outcome, p, noisy in (scored(1500, 100 + seed, 1.0) for seed in range(300))
    )
    assert stats.binomtest(shown, 300, 0.025).pvalue > 1e-3


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(30, 400))
def test_mcnemar_is_scipys_binomial_test(seed: int, n: int) -> None:
    outcome, p, other = scored(n, seed, 1.5)
    declined, declined_there = p >= 0.5, other >= 0.5
    wrong, wrong_there = declined != (outcome == 1), declined_there != (outcome == 1)
    only, only_there = int((wrong & ~wrong_there).sum()), int((~wrong & wrong_there).sum())
    item = compared(outcome, p, other)[0]["champion_errors_p"]
    if only + only_there == 0:
        assert item.value is None
    else:
        assert item.value == pytest.approx(stats.binomtest(only, only + only_there, 0.5).pvalue, abs=1e-9)


def test_drawing_the_counts_is_drawing_the_rows() -> None:
    outcome, p, other = scored(1200, 5, 1.0)
    item = compared(outcome, p, other)[0]["champion_cost"]

    def cost(declined: np.ndarray, bad: np.ndarray) -> float:
        return 1000 * float(np.mean(np.where(declined & ~bad, 5.0, np.where(~declined & bad, 120.0, 0.0))))

    bad, random = outcome == 1, np.random.default_rng(7)
    drawn = [
        cost(p[rows] >= 0.5, bad[rows]) - cost(other[rows] >= 0.5, bad[rows])
        for rows in (random.integers(0, 1200, 1200) for _ in range(2000))
    ]
    assert item.value == pytest.approx(cost(p >= 0.5, bad) - cost(other >= 0.5, bad))
    assert item.low is not None
    width = float(np.std(drawn))
    assert item.low == pytest.approx(np.quantile(drawn, 0.025), abs=0.2 * width)
    assert item.high == pytest.approx(np.quantile(drawn, 0.975), abs=0.2 * width)


def test_limits_on_cost_and_precision_stop_where_they_are_surely_broken() -> None:
    outcome, p, _ = scored(20_000, 6)
    poor = np.random.default_rng(8).permutation(p)
    limits = Champion(cost_increase_max=0.0, precision_loss_max=0.05)
    found = compared(outcome, poor, p, limits)[0]
    assert (found["champion_cost"].verdict, found["champion_precision"].verdict) == ("fail", "fail")
    assert found["champion_cost"].blocks
    found = compared(outcome, p, poor, limits)[0]
    assert (found["champion_cost"].verdict, found["champion_precision"].verdict) == ("pass", "pass")
    reported = compared(outcome, poor, p)[0]
    assert not reported["champion_cost"].blocks
    assert not reported["champion_precision"].blocks


def test_the_swap_set_tells_who_changes_sides_and_what_that_costs() -> None:
    outcome = np.array([1, 1, 0, 0, 0, 1, 0, 0.0])
    mine = np.array([0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1])  # declines three
    theirs = np.array([0.9, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1])
    _, tables = compared(outcome, mine, theirs)
    anew, no_longer = tables["swap_set"]
    assert (anew["rows"], anew["bad"], anew["cost"]) == (2, 1, 5.0 - 120.0)
    assert (no_longer["rows"], no_longer["bad"], no_longer["cost"]) == (1, 0, -5.0)
    assert sum(row["rows"] for row in tables["decisions"]) == 8
    assert tables["points"]["candidate"]["precision"] == pytest.approx(2 / 3, abs=1e-6)


def test_a_champion_that_may_have_seen_the_rows_cannot_win_on_them_but_can_lose() -> None:
    outcome, p, _ = scored(20_000, 9)
    poor = np.random.default_rng(8).permutation(p)
    lost = compared(outcome, poor, p, Champion(undecided="stop"), favoured=True, note="why")[0][
        "champion_auc"
    ]
    assert (lost.verdict, lost.blocks, lost.why) == ("no_data", True, "why")
    assert compared(outcome, p, poor, favoured=True)[0]["champion_auc"].verdict == "pass"


def test_no_champion_is_a_verdict_of_its_own_and_stops_only_where_one_is_demanded() -> None:
    assert (no_champion(Champion()).verdict, no_champion(Champion()).blocks) == ("no_champion", False)
    assert no_champion(Champion(no_champion="stop")).blocks
    assert not no_champion(Champion(no_champion="stop", demand="report")).blocks
    (item,) = nothing(Champion(), "the records are gone")
    assert (item.verdict, item.value, item.blocks, item.why) == (
        "no_data",
        None,
        False,
        "the records are gone",
    )
