"""Slope and intercept of the calibration: scikit-learn's, unpenalised; nothing where they cannot be told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.evaluate.recalibration import recalibration

Floats = np.ndarray


def drawn(rows: int, seed: int, *, sharp: float = 1.0, shift: float = 0.0) -> tuple[Floats, Floats]:
    """Outcomes of log-odds, and what a model says that is ``sharp`` times too sharp and ``shift`` too high."""
    random = np.random.default_rng(seed)
    logit = random.normal(-1, 1.2, rows)
    outcome = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float64)
    return outcome, 1 / (1 + np.exp(-(sharp * logit + shift)))


@settings(max_examples=20)
@example(rows=200, seed=0, sharp=2.5, shift=0.0)  # where whole steps overshoot
@given(st.integers(200, 3000), st.integers(0, 1000), st.floats(0.4, 2.5), st.floats(-1, 1))
def test_it_is_the_unpenalised_logistic_regression(rows: int, seed: int, sharp: float, shift: float) -> None:
    from sklearn.linear_model import LogisticRegression

    outcome, probability = drawn(rows, seed, sharp=sharp, shift=shift)
    found = recalibration(outcome, probability)
    assert found is not None
    logit = np.log(probability / (1 - probability))[:, None]
    oracle = LogisticRegression(C=1e12, tol=1e-10, max_iter=1000).fit(logit, outcome)
    assert found["slope"] == pytest.approx(float(oracle.coef_[0, 0]), rel=1e-3, abs=1e-3)
    assert found["intercept"] == pytest.approx(float(oracle.intercept_[0]), rel=1e-3, abs=1e-3)
    assert found["slope_low"] < found["slope"] < found["slope_high"]


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        found = recalibration(*drawn(800, seed))
        assert found is not None
        covered += found["slope_low"] <= 1 <= found["slope_high"]
    assert 182 <= covered <= 198, covered  # 95 % of 200, within three standard errors


def test_a_model_that_is_too_sharp_has_a_slope_below_1() -> None:
    found = recalibration(*drawn(20_000, 1, sharp=2.0))
    assert found is not None
    assert found["slope_high"] < 1
    assert found["ece"] > 0.02


def test_a_model_that_is_too_high_expects_more_than_comes() -> None:
    found = recalibration(*drawn(20_000, 1, shift=0.7))
    assert found is not None
    assert found["citl"] < -0.05
    assert found["intercept_high"] < 0


@pytest.mark.parametrize(
    ("outcome", "probability"),
    [
        (np.zeros(500), np.linspace(0.1, 0.9, 500)),
        (np.repeat([0.0, 1.0], [490, 10]), np.linspace(0.1, 0.9, 500)),
        (np.tile([0.0, 1.0], 250), np.full(500, 0.5)),
        (np.repeat([0.0, 1.0], 250), np.repeat([0.1, 0.9], 250)),
    ],
    ids=["one outcome", "few of one", "one score for all", "told apart without fail"],
)
def test_what_cannot_be_told_is_not(outcome: Floats, probability: Floats) -> None:
    assert recalibration(outcome, probability) is None
