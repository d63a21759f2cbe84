"""Logistic calibration: a line between log-odds, monotone, and smooth where bad outcomes are few."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.model import Calibrator, fit_isotonic, fit_logistic

EVENLY = np.linspace(0, 1, 101)


def drawn(n: int, seed: int, slope: float = 1.0, intercept: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Raw scores around 8 %, and outcomes whose true log-odds are a line of theirs."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(-2.5, 1.2, n)
    truth = 1 / (1 + np.exp(-(slope * margin + intercept)))
    return 1 / (1 + np.exp(-margin)), (rng.uniform(size=n) < truth).astype(float)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=200))
def test_it_is_monotone_and_a_probability_whatever_it_is_fitted_on(rows: list[tuple[float, bool]]) -> None:
    calibrator = fit_logistic(np.array([p for p, _ in rows]), np.array([float(bad) for _, bad in rows]))
    image = calibrator.apply(EVENLY)
    assert np.all(np.isfinite(image))
    assert np.all(np.diff(image) >= 0)
    assert image.min() >= 0
    assert image.max() <= 1


def test_it_finds_the_line_that_scikit_learn_finds() -> None:
    from sklearn.linear_model import LogisticRegression

    raw, outcome = drawn(20_000, 1, slope=1.4, intercept=0.5)
    calibrator = fit_logistic(raw, outcome)
    oracle = LogisticRegression(C=1e9, tol=1e-10).fit(np.log(raw / (1 - raw)).reshape(-1, 1), outcome)
    # Platt's targets differ from 0 and 1 by one row in many.
    assert calibrator.x[0] == pytest.approx(oracle.coef_[0][0], abs=0.01)
    assert calibrator.y[0] == pytest.approx(oracle.intercept_[0], abs=0.01)


def test_separable_rows_give_a_steep_line_and_no_infinite_one() -> None:
    raw = np.r_[np.full(50, 0.1), np.full(50, 0.9)]
    low, high = fit_logistic(raw, np.r_[np.zeros(50), np.ones(50)]).apply(np.array([0.1, 0.9]))
    assert (low, high) == (pytest.approx(1 / 52), pytest.approx(51 / 52))


def test_a_score_that_ranks_the_wrong_way_round_says_the_base_rate() -> None:
    raw, outcome = drawn(5_000, 2)
    image = fit_logistic(1 - raw, outcome).apply(EVENLY)
    assert image == pytest.approx(np.full(101, outcome.mean()), abs=0.001)


@pytest.mark.parametrize("outcome", [np.zeros(9), np.ones(9), np.zeros(0)])
def test_without_both_outcomes_nothing_is_fitted(outcome: np.ndarray) -> None:
    assert fit_logistic(np.full(outcome.size, 0.3), outcome) == Calibrator()


def test_on_few_rows_two_nearly_equal_models_agree_at_every_threshold() -> None:
    """What this calibration is for: a hair's breadth between two scores must stay one."""
    raw, outcome = drawn(1_200, 4)
    rng = np.random.default_rng(5)
    live, _ = drawn(20_000, 6)
    other = np.clip(raw * rng.normal(1, 0.03, raw.size), 0, 1)
    thresholds = np.linspace(0.02, 0.6, 60)

    def most_apart(one: Calibrator, two: Calibrator) -> float:
        above = [(c.apply(live)[:, None] > thresholds).mean(axis=0) for c in (one, two)]
        return float(np.abs(above[0] - above[1]).max())

    assert most_apart(fit_logistic(raw, outcome), fit_logistic(other, outcome)) < 0.01
    assert most_apart(fit_isotonic(raw, outcome), fit_isotonic(other, outcome)) > 0.05
