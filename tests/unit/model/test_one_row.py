"""A single row is answered as the same row in a batch; reasons and calibration have one meaning."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.model import Calibrator, ReasonCode, fit_isotonic, reason_codes
from serinus.scoring import Explain, Scorer
from tests.support.bundles import small_bundle, small_contract

probabilities = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 0.25, 0.5, 1e-15, 1 - 1e-16])


@pytest.mark.parametrize("explain", ["always", "adverse", "never"])
def test_one_row_is_answered_as_in_a_batch(tmp_path: Path, explain: Explain) -> None:
    scorer = Scorer(small_bundle(tmp_path))
    rows = scorer.bundle.reference_rows[:300]
    batch = scorer.many(rows, explain)
    assert [scorer.one(row, explain) for row in rows] == list(batch) == scorer.score(rows, explain)
    assert [batch[i] for i in range(len(batch))] == list(batch)
    assert {answer.decision for answer in batch} == {"approve", "review", "decline"}
    for answer in batch:
        assert bool(answer.reasons) <= (explain != "never")
        if explain != "always":
            assert bool(answer.reasons) == (explain == "adverse" and answer.decision != "approve")


def test_no_single_decision_rests_on_a_probability_that_is_not_a_number(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path)
    bundle.__dict__["calibrator"] = Calibrator("isotonic", (0.0, 1.0), (float("nan"), float("nan")))
    with pytest.raises(SerinusError, match="SRN-SCORE-001"):
        Scorer(bundle).one(bundle.golden_rows[0])


CALIBRATORS = [
    Calibrator(),
    Calibrator("logistic", (0.7,), (-1.2,)),
    Calibrator("logistic", (0.0,), (-3.0,)),
    Calibrator("isotonic", (0.5,), (0.2,)),
    Calibrator("isotonic", (0.1, 0.1, 0.6), (0.0, 0.3, 0.9)),
    fit_isotonic(np.linspace(0, 1, 500), (np.linspace(0, 1, 500) ** 2 > np.random.default_rng(1).random(500)) * 1.0),
]  # fmt: skip


@pytest.mark.parametrize("calibrator", CALIBRATORS)
@settings(deadline=None)
@given(raw=probabilities)
def test_one_probability_is_calibrated_as_in_an_array(calibrator: Calibrator, raw: float) -> None:
    assert calibrator.one()(raw) == pytest.approx(
        float(calibrator.apply(np.array([raw]))[0]), rel=1e-14, abs=0
    )


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_what_is_no_number_stays_none(calibrator: Calibrator) -> None:
    assert np.isnan(calibrator.one()(float("nan")))


def _by_definition(contract: Contract, contributions: list[float]) -> tuple[ReasonCode, ...]:
    groups: dict[str, list[int]] = {}
    for i, feature in enumerate(contract.features):
        groups.setdefault(feature.reason, []).append(i)
    total = {text: sum(contributions[i] for i in members) for text, members in groups.items()}
    ranked = sorted((text for text in groups if total[text] > 0), key=lambda text: (-total[text], text))
    strongest = {text: max(groups[text], key=lambda i: contributions[i]) for text in ranked}
    return tuple(
        ReasonCode(f"R{strongest[t] + 1:02d}", contract.features[strongest[t]].name, t, round(total[t], 6))
        for t in ranked[: contract.decision.max_reasons]
    )


@settings(deadline=None)
@given(
    texts=st.lists(st.sampled_from("abcde"), min_size=5, max_size=5),
    contributions=st.lists(st.integers(-3, 3).map(float), min_size=6, max_size=6),
)
def test_reasons_are_adverse_grouped_by_text_and_strongest_first(
    texts: list[str], contributions: list[float]
) -> None:
    contract = small_contract()
    features = tuple(
        msgspec.structs.replace(f, reason=t) for f, t in zip(contract.features, texts, strict=True)
    )
    contract = msgspec.structs.replace(contract, features=features)
    assert reason_codes(contract, np.array(contributions)) == _by_definition(contract, contributions)
