"""Concept drift from delayed labels: it fires, it stays silent, and it may be looked at any time."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from serinus.errors import SerinusError
from serinus.watching import Concept, ConceptEvidence, ConceptPlan, ConceptReport, validated

THRESHOLD = 0.3


def _rows(rng: np.random.Generator, n: int, power: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and labels whose odds are the model's to the ``power``."""
    p = rng.beta(0.5, 4, n)
    odds = (p / (1 - p)) * power
    return p, (rng.random(n) < odds / (1 + odds)).astype(float)


def _watch(plan: ConceptPlan | None = None) -> Concept:
    return Concept(plan or ConceptPlan(), validated(*_rows(np.random.default_rng(0), 10_000), THRESHOLD))


def _run(watch: Concept, power: float, batches: int, seed: int = 1) -> tuple[ConceptEvidence, ConceptReport]:
    rng, evidence = np.random.default_rng(seed), watch.start()
    for _ in range(batches):
        evidence = watch.update(evidence, *_rows(rng, 300, power))
    return evidence, watch.judge(evidence)


def test_a_model_as_good_as_at_validation_is_left_alone() -> None:
    for seed in range(20):
        _, report = _run(_watch(), 1.0, 40, seed)
        assert report.worse == ()


@pytest.mark.parametrize(
    ("power", "question"), [(3.0, "underestimates"), (0.3, "overestimates"), (0.3, "precision")]
)
def test_a_changed_relation_is_found_and_named(power: float, question: str) -> None:
    _, report = _run(_watch(), power, 20)
    assert question in report.worse


def test_labels_that_have_nothing_to_do_with_scores_raise_the_loss() -> None:
    watch, rng = _watch(), np.random.default_rng(2)
    evidence = watch.start()
    for _ in range(20):
        p, y = _rows(rng, 300)
        evidence = watch.update(evidence, p, rng.permutation(y))
    assert {"loss", "precision"} <= set(watch.judge(evidence).worse)


def test_watching_all_the_time_errs_no_more_often_than_alpha() -> None:
    """At the edge of the null: labels exactly a margin likelier than the model says."""
    plan = ConceptPlan(alpha=0.2, calibration_margin=0.2)
    watch, fooled = _watch(plan), 0
    for seed in range(60):
        rng, evidence = np.random.default_rng(seed), watch.start()
        for _ in range(40):
            p = rng.beta(0.5, 4, 50)
            evidence = watch.update(evidence, p, (rng.random(50) < np.minimum(1.2 * p, 1)).astype(float))
            report = watch.judge(evidence)
            if report.ever_log10_e["underestimates"] >= report.ever_threshold_log10:
                fooled += 1
                break
    assert fooled / 60 <= 0.2


def test_each_row_is_worth_at_most_one_at_the_edge_of_its_null() -> None:
    watch = _watch()
    p = np.array([0.02, 0.2, 0.5])
    for sign, k in ((1.2, 2), (0.8, 3)):
        for one in p:
            gains = [
                np.exp(np.array(watch.update(watch.start(), np.array([one]), np.array([y])).ever[k]))
                for y in (0.0, 1.0)
            ]
            mean = (1 - sign * one) * gains[0] + sign * one * gains[1]
            assert mean.max() <= 1 + 1e-9


def test_evidence_since_an_onset_forgets_good_times_and_fades() -> None:
    watch = _watch()
    rng, evidence = np.random.default_rng(4), watch.start()
    for k in range(90):
        evidence = watch.update(evidence, *_rows(rng, 300, 3.0 if 60 <= k < 75 else 1.0))
        if k == 70:
            assert "underestimates" in watch.judge(evidence).worse
    report = watch.judge(evidence)
    assert report.log10_e["underestimates"] < report.threshold_log10


def test_a_restart_changes_nothing() -> None:
    evidence, _ = _run(_watch(), 1.5, 5)
    assert msgspec.json.decode(msgspec.json.encode(evidence), type=ConceptEvidence) == evidence
    assert _watch().update(evidence, np.empty(0), np.empty(0)) == evidence


def test_too_little_validation_is_refused() -> None:
    with pytest.raises(SerinusError, match="SRN-WATCHING-006"):
        validated(np.full(5, 0.5), np.ones(5), 0.5)
