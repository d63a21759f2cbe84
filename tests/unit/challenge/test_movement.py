"""What moves: scores between bands, models between fits, odds in a downturn, reasons between samples."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from components.challenge.migration import bandwidth, of_migration
from components.challenge.retrained import deviation_interval, of_retrained
from components.challenge.sensitivity import of_importance
from components.challenge.stress import of_missing, of_scenarios
from components.config import Challenge, Lightgbm, Migration, Retrained, Scenario, Training
from components.table import TEST, TRAIN, VALIDATION, Rows
from tests.unit.challenge.test_attempts import LOANS, outcomes, rows, score
from tests.unit.challenge.test_early_knowledge import payments

Floats = np.ndarray


def test_the_bandwidth_is_the_distance_moved_over_the_farthest_that_was_possible() -> None:
    matrix = np.array([[90, 10, 0], [5, 90, 5], [0, 20, 80]])
    # to worse: 10 move by one of two possible, 5 by one; the middle band's farthest is one either way
    assert bandwidth(matrix) == pytest.approx((10 * 1 + 5 * 1) / (10 * 2 + 5 * 1))
    assert bandwidth(matrix[::-1, ::-1]) == pytest.approx((5 * 1 + 20 * 1) / (5 * 1 + 20 * 2))
    assert np.isnan(bandwidth(np.diag([3, 4, 5])))
    assert bandwidth(np.array([[0, 0, 7], [0, 3, 0], [0, 0, 4]])) == 1.0


@given(st.lists(st.lists(st.integers(0, 50), min_size=4, max_size=4), min_size=4, max_size=4))
def test_a_bandwidth_lies_between_nothing_and_everything(counts: list[list[int]]) -> None:
    for matrix in (np.array(counts), np.array(counts)[::-1, ::-1]):
        found = bandwidth(matrix)
        assert np.isnan(found) or 0 < found <= 1


@pytest.mark.parametrize(("moves", "verdict"), [(0.0, "pass"), (2.0, "fail")])
def test_customers_whose_scores_wander_are_found(moves: float, verdict: str) -> None:
    random = np.random.default_rng(1)
    customers, visits = 300, 8
    base = random.normal(0, 1, customers)
    key = np.tile(np.arange(1, customers + 1), visits).astype(np.uint64)
    time = np.repeat(np.arange(visits), customers) * 86_400_000_000
    late = np.repeat(np.arange(visits) >= visits / 2, customers)
    drift = np.tile(random.normal(0, 1, customers), visits) * moves * late
    scores = 1 / (1 + np.exp(-(np.tile(base, visits) + drift + random.normal(0, 0.05, key.size))))
    limits = Migration(moved_far=0.1)
    (item,), table = of_migration(limits, payments(), {"customer": key}, time, scores, scores)
    assert (item.verdict, item.n) == (verdict, customers)
    assert sum(row["entities"] for row in table) == customers
    assert len(table) == 7


def test_without_time_entities_or_people_who_return_there_is_nothing_to_compare() -> None:
    key, time, scores = np.arange(1, 101).astype(np.uint64), np.arange(100) * 10**9, np.linspace(0, 1, 100)
    for keys, moments in (({"customer": key}, None), ({"customer": key}, time)):
        (item,), table = of_migration(Migration(moved_far=0.1), payments(), keys, moments, scores, scores)
        assert (item.verdict, item.blocks, table) == ("no_data", False, [])
    plain = payments(entities={}, features=[{"name": "amount", "column": "amount"}])
    assert (
        of_migration(Migration(), plain, {}, time, scores, scores)[0][0].why == "the contract names no entity"
    )


@pytest.mark.parametrize("size", [2, 4, 30])
def test_the_interval_of_a_deviation_is_by_scipys_chi_square(size: int) -> None:
    low, high = deviation_interval(0.02, size)
    expected = [0.02 * np.sqrt((size - 1) / stats.chi2.ppf(q, size - 1)) for q in (0.975, 0.025)]
    assert [low, high] == pytest.approx(expected, rel=1e-6)


def refitted(
    training: Training, config: Retrained
) -> tuple[dict[str, float | None], list[dict[str, object]]]:
    part = rows(1800)
    outcome = outcomes(part)
    codes = np.repeat(np.array([TRAIN, VALIDATION, TEST], dtype=np.uint8), 600)
    table = Rows({}, outcome, None, {})
    items, fits = of_retrained(config, LOANS, training, part, table, codes, np.flatnonzero(codes == TEST))
    return {item.name: item.value for item in items}, fits


def test_a_steady_model_is_told_from_one_that_is_chance() -> None:
    steady, fits = refitted(Training(rounds=30), Retrained(fits=3))
    wild = Lightgbm(
        num_leaves=60, min_data_in_leaf=1, learning_rate=1.0, feature_fraction=0.34, extra_trees=True
    )
    chance, _ = refitted(Training(rounds=1, early_stopping=0, parameters=wild), Retrained(fits=3))
    assert len(fits) == 3
    assert steady["retrained_auc_sd"] is not None
    assert chance["retrained_auc_sd"] is not None
    assert steady["retrained_auc_sd"] < 0.02 < chance["retrained_auc_sd"]
    again, _ = refitted(Training(rounds=30), Retrained(fits=3))
    assert again == steady, "seeded: the same again"
    assert set(refitted(Training(), Retrained(fits=0))[0].values()) == {None}


def test_a_downturn_raises_the_odds_and_the_model_underestimates() -> None:
    part = rows(6000)
    outcome = outcomes(part)
    limits = Challenge(
        scenarios=(
            Scenario(name="calm", add={"debt": 0.0}, bad_odds=1.0, underestimated_max=1.15),
            Scenario(name="downturn", bad_odds=2.0, approved_bad_max=0.12, underestimated_max=1.15),
        )
    )
    items, table = of_scenarios(limits, LOANS, part, outcome, score)
    found = {item.name: item for item in items}
    assert found["calm underestimated"].verdict == "pass"
    assert found["downturn underestimated"].verdict == "fail"
    approved = score(part) < 0.5
    bad, good = outcome[approved].sum(), (1 - outcome[approved]).sum()
    assert found["downturn approved bad"].value == pytest.approx(2 * bad / (2 * bad + good))
    assert table[1]["approved_bad"] == found["downturn approved bad"].value
    for item in items:
        if item.low is not None and item.high is not None and item.value is not None:
            assert item.low <= item.value <= item.high


def test_values_missing_at_random_cost_what_they_cost_and_more_cost_more() -> None:
    part = rows(4000)
    outcome = outcomes(part)
    some, half = (
        of_missing(Challenge(missing_share=share, missing_auc_lost=0.03), LOANS, part, outcome, score)
        for share in (0.02, 0.5)
    )
    assert some.value is not None
    assert half.value is not None
    assert some.value < half.value
    assert (some.verdict, half.verdict) == ("pass", "fail")


def test_the_strongest_features_stay_unless_many_are_as_strong() -> None:
    random = np.random.default_rng(2)
    clear = random.normal(0, 1, (500, 11)) * np.array([9, 7, 5, 3, 1, 1, 1, 1, 1, 1, 0])
    level = random.normal(0, 1, (500, 11))
    assert of_importance(Challenge(), clear).verdict == "pass"
    assert of_importance(Challenge(), level).verdict == "fail"
    assert of_importance(Challenge(), clear[:, [0, -1]]).verdict == "no_data"
    assert msgspec.to_builtins(of_importance(Challenge(), clear))["group"] == "explanation"
