"""The challenge's statistics against their definitions and other people's code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from components.challenge.calibration import hosmer_lemeshow, jeffreys, of_calibration
from components.challenge.delong import auc_interval, delong, midranks, paired_difference
from components.challenge.item import judged
from components.challenge.retrained import deviation_interval, unless_chance
from components.challenge.stability import of_periods, psi
from components.config import Challenge
from components.evaluate.metrics import auc

Floats = np.ndarray


def sample(n: int, seed: int = 0, strength: float = 1.0) -> tuple[Floats, Floats]:
    """Outcomes, and the true probabilities behind them."""
    random = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-(strength * random.normal(0, 1, n) - 2)))
    return (random.random(n) < p).astype(np.float64), p


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_midranks_are_scipys(values: list[int]) -> None:
    numbers = np.array(values, dtype=np.float64)
    assert midranks(numbers) == pytest.approx(stats.rankdata(numbers))


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 120), st.integers(1, 8))
def test_delong_is_its_definition(seed: int, n: int, coarse: int) -> None:
    """The covariance of the structural components, by all pairs (DeLong et al. 1988, eq. 4 to 6)."""
    random = np.random.default_rng(seed)
    outcome = (np.arange(n) % 3 == 0).astype(np.float64)
    scores = np.round(random.normal(0, 1, (2, n)) + outcome, coarse % 3)
    areas, covariance = delong(outcome, scores)
    bad, good = scores[:, outcome == 1], scores[:, outcome == 0]
    wins = (bad[:, :, None] > good[:, None, :]) + 0.5 * (bad[:, :, None] == good[:, None, :])
    expected = np.cov(wins.mean(axis=2)) / bad.shape[1] + np.cov(wins.mean(axis=1)) / good.shape[1]
    assert covariance == pytest.approx(expected, abs=1e-12)
    assert areas == pytest.approx([auc(outcome, scores[0]), auc(outcome, scores[1])], abs=1e-12)


def test_the_interval_of_an_auc_covers_the_truth_nineteen_times_in_twenty() -> None:
    _, p = sample(400_000, 1)
    outcome, _ = sample(400_000, 1)
    truth = auc(outcome, p)
    held = sum(
        low <= truth <= high for _, low, high in (auc_interval(*sample(600, seed)) for seed in range(400))
    )
    assert stats.binomtest(held, 400, 0.95).pvalue > 1e-4


def test_the_difference_on_the_same_rows_is_told_more_sharply_than_apart() -> None:
    outcome, p = sample(2000, 3)
    worse = p + np.random.default_rng(4).normal(0, 0.05, p.size)
    difference, low, high = paired_difference(outcome, p, worse)
    apart = auc_interval(outcome, p)[2] - auc_interval(outcome, p)[1]
    assert 0 < low < difference < high
    assert high - low < apart
    assert paired_difference(outcome, p, p)[0] == 0


def test_one_outcome_only_is_no_auc() -> None:
    assert all(value != value for value in auc_interval(np.zeros(10), np.arange(10.0)))


def test_hosmer_lemeshow_rejects_a_calibrated_model_as_often_as_it_says() -> None:
    found = [hosmer_lemeshow(*sample(3000, seed))[1] for seed in range(300)]
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    outcome, p = sample(3000, 1)
    assert hosmer_lemeshow(outcome, p * 0.6)[1] < 1e-6


def test_hosmer_lemeshow_is_not_told_where_its_law_does_not_hold() -> None:
    assert hosmer_lemeshow(*sample(60, 2))[1] != hosmer_lemeshow(*sample(60, 2))[1]


@pytest.mark.parametrize(("bad", "rows", "predicted"), [(3, 100, 0.01), (30, 1000, 0.05), (0, 50, 0.02)])
def test_jeffreys_is_the_posterior_by_scipy(bad: int, rows: int, predicted: float) -> None:
    assert jeffreys(bad, rows, predicted) == pytest.approx(
        stats.beta.cdf(predicted, bad + 0.5, rows - bad + 0.5), abs=1e-9
    )


def test_jeffreys_names_the_underestimated_grade_and_is_silent_on_a_sound_model() -> None:
    outcome, p = sample(20_000, 5)
    limits = Challenge(jeffreys_p=0.01)
    assert of_calibration(limits, outcome, p)[0][1].verdict == "pass"
    knee = np.quantile(p, 0.9)
    top = np.where(p > knee, knee + (p - knee) * 0.2, p)  # the order of the rows stays
    items, table = of_calibration(limits, outcome, top)
    assert items[1].verdict == "fail"
    assert min(range(10), key=lambda i: table[i]["p_underestimated"]) == 9


def test_psi_stays_below_chance_without_drift_and_rises_with_it() -> None:
    random = np.random.default_rng(6)
    reference = random.lognormal(0, 1, 5000)
    above = 0
    for seed in range(200):
        found = psi("x", reference, np.random.default_rng(seed).lognormal(0, 1, 800))
        assert found is not None
        above += found["psi"] > found["chance"]
    assert above <= 8
    shifted = psi("x", reference, random.lognormal(0.8, 1, 800))
    assert shifted is not None
    assert shifted["psi"] > 0.25
    assert shifted["low"] < shifted["psi"] < shifted["high"] * 1.05
    assert psi("x", reference, reference[:99]) is None


def test_the_worst_period_is_named_with_its_days() -> None:
    outcome, p = sample(8000, 7)
    time = np.linspace(0, 4 * 86_400e6, 8000).astype(np.int64)
    third = (time >= 2 * 86_400e6) & (time < 3 * 86_400e6)
    broken = np.where(third, np.random.default_rng(8).permutation(p), p)
    items, table = of_periods(Challenge(worst_period_auc=0.6), outcome, broken, time)
    assert (items[0].verdict, items[0].why[:10]) == ("fail", "1970-01-03")
    assert len(table) == 4
    assert of_periods(Challenge(worst_period_auc=0.6), outcome, p, time)[0][0].verdict == "pass"


def test_without_event_time_or_bad_outcomes_a_backtest_is_no_data_and_stops_nothing() -> None:
    outcome, p = sample(400, 9)
    (item,), table = of_periods(Challenge(), outcome, p, None)
    assert (item.verdict, item.blocks, item.value, table) == ("no_data", False, None, [])
    few = np.where(np.arange(400) < 10, 1.0, 0.0)
    (item,), _ = of_periods(Challenge(), few, p, np.arange(400))
    assert (item.verdict, item.blocks) == ("no_data", False)


@pytest.mark.parametrize(
    ("value", "minimum", "maximum", "verdict", "blocks"),
    [
        (0.5, None, None, "pass", False),
        (0.5, 0.5, None, "pass", True),
        (0.5, 0.6, None, "fail", True),
        (0.5, None, 0.4, "fail", True),
        (None, 0.6, None, "no_data", False),
        (float("nan"), 0.6, None, "no_data", False),
    ],
)
def test_a_verdict_is_the_value_against_its_limit(
    value: float | None, minimum: float | None, maximum: float | None, verdict: str, blocks: bool
) -> None:
    item = judged("stress", "x", value, minimum=minimum, maximum=maximum)
    assert (item.verdict, item.blocks) == (verdict, blocks)


@pytest.mark.parametrize(
    ("value", "fits", "verdict"),
    [(0.04, 4, "pass"), (0.06, 4, "no_data"), (0.2, 4, "fail"), (0.06, 50, "fail")],
    ids=["within", "above, by few fits", "far above", "above, by many fits"],
)
def test_a_deviation_fails_only_where_its_whole_interval_does(value: float, fits: int, verdict: str) -> None:
    found = unless_chance(
        judged("stability", "retrained_auc_sd", value, interval=deviation_interval(value, fits), maximum=0.05)
    )
    assert (found.verdict, found.blocks) == (verdict, verdict != "no_data")
    assert ("may be chance" in found.why) == (verdict == "no_data")
