"""Performance estimated before labels arrive, and measured once they have."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from serinus.watching import Figure, estimate, realised


def _calibrated(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(0.5, 4, n)
    return p, (rng.random(n) < p).astype(float)


def _value(figure: Figure | None) -> float:
    assert figure is not None
    return figure.value


def test_measured_figures_are_scikit_learns() -> None:
    p, y = _calibrated(4000)
    found = realised(p, y, 0.3)
    assert _value(found.auc) == pytest.approx(roc_auc_score(y, p))
    assert _value(found.precision) == pytest.approx(precision_score(y, p >= 0.3))
    assert _value(found.recall) == pytest.approx(recall_score(y, p >= 0.3))
    assert _value(found.brier) == pytest.approx(brier_score_loss(y, p))
    assert average_precision_score(y, p) > 0, "the labels are not all alike"


@pytest.mark.parametrize("name", ["auc", "precision", "recall", "flagged", "brier", "base"])
def test_measured_figures_lie_in_the_band_of_the_estimate_as_often_as_it_says(name: str) -> None:
    inside = 0
    for seed in range(200):
        p, y = _calibrated(1500, seed)
        band, value = getattr(estimate(p, 0.3), name), _value(getattr(realised(p, y, 0.3), name))
        inside += band.low <= value <= band.high
    assert inside >= 180


@pytest.mark.parametrize("name", ["auc", "precision", "brier", "base", "recall"])
def test_the_bands_of_measured_figures_hold_the_truth(name: str) -> None:
    p, y = _calibrated(400_000, 99)
    truth, inside = _value(getattr(realised(p, y, 0.3), name)), 0
    for seed in range(200):
        band = getattr(realised(*_calibrated(1500, seed), 0.3), name)
        inside += band.low <= truth <= band.high
    assert inside >= 180


def test_it_sees_what_other_inputs_do_to_performance() -> None:
    rng = np.random.default_rng(3)
    p = rng.beta(0.5, 4, 5000)
    harder = 0.5 * p + 0.5 * p.mean()
    before, after = estimate(p, 0.2), estimate(harder, 0.2)
    assert _value(after.auc) < _value(before.auc)
    assert after.auc is not None
    assert before.auc is not None
    assert after.auc.high < before.auc.low


def test_a_histogram_of_scores_serves_as_well_as_rows() -> None:
    p, _ = _calibrated(5000)
    edges = np.linspace(0, 1, 1001)
    cell = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, 999)
    counts = np.bincount(cell, minlength=1000).astype(float)
    means = np.bincount(cell, weights=p, minlength=1000) / np.maximum(counts, 1)
    held = counts > 0
    rows, cells = estimate(p, 0.3), estimate(means[held], 0.3, counts=counts[held])
    assert _value(cells.auc) == pytest.approx(_value(rows.auc), abs=2e-3)
    assert _value(cells.precision) == pytest.approx(_value(rows.precision), abs=1e-6)


def test_miscalibration_shows_in_bias_and_ece_and_calibration_does_not() -> None:
    p, y = _calibrated(20_000)
    good, bad = realised(p, y, 0.3), realised(np.clip(p * 1.6, 0, 1), y, 0.3)
    for found, calibrated in ((good, True), (bad, False)):
        assert found.bias is not None
        assert found.ece is not None
        assert (found.bias.low <= 0 <= found.bias.high) is calibrated
        assert (found.ece.value <= found.ece.high) is calibrated


def test_nothing_is_said_of_few_rows_or_one_class() -> None:
    assert estimate(np.full(10, 0.5), 0.3).auc is None
    found = realised(np.linspace(0, 0.2, 100), np.zeros(100), 0.3)
    assert found.auc is None
    assert found.precision is None
    assert found.recall is None
    assert _value(found.flagged) == 0
