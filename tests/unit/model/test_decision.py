"""A probability becomes a decision, and contributions become reasons."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.bundle import Bundle
from serinus.errors import SerinusError
from serinus.model import Calibrator, decide, fit_isotonic, reason_codes
from serinus.scoring import Scorer
from tests.support.bundles import small_bundle, small_contract


@pytest.mark.parametrize(
    ("probability", "decision"),
    [
        (0.0, "approve"),
        (0.2999, "approve"),
        (0.3, "review"),
        (0.5999, "review"),
        (0.6, "decline"),
        (1.0, "decline"),
    ],
)
def test_thresholds_belong_to_the_stricter_side(probability: float, decision: str) -> None:
    assert decide(small_contract(), probability) == decision


@pytest.mark.parametrize(
    ("contributions", "features"),
    [
        ([3.0, 2.0, 1.0, 0.5, 0.1, 9.0], ["amount", "hour", "channel"]),
        ([-3.0, 2.0, -1.0, 0.0, 5.0, 9.0], ["merchant_risk", "hour"]),
        ([-1.0, -1.0, -1.0, -1.0, -1.0, 9.0], []),
    ],
)
def test_only_adverse_contributions_are_reasons_strongest_first(
    contributions: list[float], features: list[str]
) -> None:
    assert [r.feature for r in reason_codes(small_contract(), np.array(contributions))] == features


def test_features_of_one_text_are_one_reason() -> None:
    contract = small_contract()
    import msgspec

    same = tuple(msgspec.structs.replace(f, reason="History of payments") for f in contract.features)
    reasons = reason_codes(msgspec.structs.replace(contract, features=same), np.array([1.0, 2.0, -0.5, 0, 0]))
    assert [(r.feature, r.contribution) for r in reasons] == [("hour", 2.5)]


def test_reasons_add_up_to_the_margin(tmp_path: Path) -> None:
    scorer = Scorer(small_bundle(tmp_path))
    rows = scorer.bundle.reference_rows[:50]
    raw, _ = scorer.probabilities(rows)
    margin = np.log(raw / (1 - raw))
    np.testing.assert_allclose(scorer.contributions(rows).sum(axis=1), margin, atol=1e-9)


def test_reasons_agree_with_the_shap_library(tmp_path: Path) -> None:
    shap = pytest.importorskip("shap")
    bundle = small_bundle(tmp_path)
    rows = bundle.reference_rows[:20]
    oracle = shap.TreeExplainer(lightgbm.Booster(model_str=bundle.model_text)).shap_values(rows)
    values = oracle[1] if isinstance(oracle, list) else oracle
    np.testing.assert_allclose(Scorer(bundle).contributions(rows)[:, :-1], values, atol=1e-6)


def test_the_self_test_passes_on_the_machine_that_trained(tmp_path: Path) -> None:
    Scorer(small_bundle(tmp_path)).self_test()


def test_the_self_test_refuses_a_machine_that_scores_otherwise(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path)
    bundle.__dict__["golden_scores"] = bundle.golden_scores + 1e-6
    with pytest.raises(SerinusError, match="SRN-SCORE-002"):
        Scorer(bundle).self_test()


def test_no_decision_rests_on_a_probability_that_is_not_a_number(tmp_path: Path) -> None:
    bundle: Bundle = small_bundle(tmp_path)
    bundle.__dict__["calibrator"] = Calibrator("isotonic", (0.0, 1.0), (float("nan"), float("nan")))
    with pytest.raises(SerinusError, match="SRN-SCORE-001"):
        Scorer(bundle).score(bundle.golden_rows[:1])


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=200))
def test_calibration_is_monotone_and_stays_a_probability(rows: list[tuple[float, bool]]) -> None:
    raw = np.array([p for p, _ in rows])
    calibrator = fit_isotonic(raw, np.array([float(bad) for _, bad in rows]))
    image = calibrator.apply(np.linspace(0, 1, 101))
    assert np.all(np.diff(image) >= -1e-12)
    assert image.min() >= 0
    assert image.max() <= 1


def test_calibration_recovers_a_known_distortion() -> None:
    rng = np.random.default_rng(3)
    truth = rng.uniform(0.05, 0.95, 40_000)
    outcome = (rng.uniform(size=truth.size) < truth).astype(float)
    calibrated = fit_isotonic(truth**2, outcome).apply(truth**2)
    assert float(np.mean(np.abs(calibrated - truth))) < 0.02
