"""Our metrics against scikit-learn, and their intervals against what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from components.evaluate import metrics as m
from serinus.intervals import wilson


def cases() -> list[tuple[str, np.ndarray, np.ndarray]]:
    random = np.random.default_rng(0)
    smooth = random.random(400)
    return [
        ("smooth", (random.random(400) < smooth).astype(float), smooth),
        ("ties", (random.random(400) < 0.3).astype(float), random.integers(0, 4, 400) / 4),
        ("rare", (np.arange(400) % 97 == 0).astype(float), smooth),
        ("constant score", (random.random(400) < 0.5).astype(float), np.full(400, 0.3)),
    ]


@pytest.mark.parametrize(("name", "outcome", "score"), cases(), ids=[case[0] for case in cases()])
def test_each_metric_equals_the_one_of_scikit_learn(
    name: str, outcome: np.ndarray, score: np.ndarray
) -> None:
    assert m.auc(outcome, score) == pytest.approx(oracle.roc_auc_score(outcome, score), abs=1e-12)
    assert m.average_precision(outcome, score) == pytest.approx(
        oracle.average_precision_score(outcome, score), abs=1e-12
    )
    assert m.brier(outcome, score) == pytest.approx(oracle.brier_score_loss(outcome, score), abs=1e-12)
    assert m.log_loss(outcome, score) == pytest.approx(
        oracle.log_loss(outcome, np.clip(score, 1e-15, 1 - 1e-15), labels=[0, 1]), abs=1e-9
    )


def test_weights_count_as_repeated_rows_do() -> None:
    random = np.random.default_rng(1)
    outcome, score = (random.random(50) < 0.4).astype(float), random.integers(0, 9, 50) / 9
    weight = random.integers(0, 4, 50).astype(float)
    again = np.repeat(np.arange(50), weight.astype(int))
    for measure in (m.auc, m.average_precision, m.brier):
        assert measure(outcome, score, weight) == pytest.approx(measure(outcome[again], score[again]))


@pytest.mark.parametrize("outcome", [np.zeros(20), np.ones(20)])
def test_a_metric_that_one_outcome_cannot_determine_is_not_a_number(outcome: np.ndarray) -> None:
    assert math.isnan(m.auc(outcome, np.linspace(0, 1, 20)))
    assert math.isnan(m.ks(outcome, np.linspace(0, 1, 20)))


def test_a_calibrated_probability_has_a_small_error_and_an_inflated_one_a_large() -> None:
    random = np.random.default_rng(2)
    probability = random.random(20_000) * 0.4
    outcome = (random.random(20_000) < probability).astype(float)
    assert m.calibration_error(outcome, probability) < 0.02
    assert m.calibration_error(outcome, np.minimum(probability * 2, 1)) > 0.15


def test_a_small_calibrated_sample_is_not_blamed_for_chance() -> None:
    random = np.random.default_rng(4)
    errors = []
    for _ in range(50):
        probability = random.random(300)
        errors.append(m.calibration_error((random.random(300) < probability).astype(float), probability))
    assert np.mean(errors) < 0.02


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 500), st.integers(1, 500))
def test_wilsons_interval_holds_the_share_and_stays_within_zero_and_one(hits: int, trials: int) -> None:
    hits = min(hits, trials)
    low, high = wilson(hits, trials)
    assert 0 <= low <= hits / trials + 1e-12
    assert hits / trials - 1e-12 <= high <= 1


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    # True AUC of two unit normals one apart: Phi(1 / sqrt 2) = 0.7602.
    random, covered = np.random.default_rng(3), 0
    for seed in range(60):
        outcome = (random.random(300) < 0.4).astype(float)
        score = random.normal(outcome, 1)
        low, high = m.bootstrap({"auc": m.auc}, outcome, score, seed=seed)["auc"]
        covered += low <= 0.7602 <= high
    assert covered >= 50


def test_a_bootstrap_of_what_is_never_a_number_is_none() -> None:
    low, high = m.bootstrap({"auc": m.auc}, np.zeros(10), np.arange(10.0), seed=1)["auc"]
    assert math.isnan(low)
    assert math.isnan(high)
