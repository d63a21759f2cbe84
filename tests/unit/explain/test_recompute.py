"""A logged decision made again: what counts as reproduced, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from serinus.bundle import Bundle
from serinus.errors import SerinusError
from serinus.events import Decision
from serinus.model import ReasonCode
from serinus.recompute import Recomputed, recompute
from serinus.scoring import Scorer
from tests.support.bundles import small_bundle, small_records


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("explain"))


def logged(bundle: Bundle, row: int, explain: str = "always") -> Decision:
    """A decision as the scorer logs it."""
    scorer = Scorer(bundle)
    vector = scorer.vectorizer.encode(small_records(40)[row])
    answer = scorer.one(vector, "always" if explain == "always" else "never")
    return Decision(
        model=bundle.name,
        version=bundle.version,
        digest=bundle.digest,
        predictor="champion",
        score=answer.score,
        probability=answer.probability,
        decision=answer.decision,
        reasons=answer.reasons,
        features=tuple(None if value != value else value for value in vector.tolist()),
    )


def outcomes(result: Recomputed) -> dict[str, str]:
    return {item.what: item.outcome for item in result.compared}


@pytest.mark.parametrize("row", range(12))
def test_what_the_scorer_logged_is_reproduced_to_the_bit(bundle: Bundle, row: int) -> None:
    result = recompute(logged(bundle, row), bundle)
    assert result.reproduced
    assert set(outcomes(result).values()) <= {"identical", "not_logged"}


def test_features_read_as_the_contract_names_them(bundle: Bundle) -> None:
    records = small_records(40)
    row = next(i for i, record in enumerate(records) if record["days_since_last"] is None)
    result = recompute(logged(bundle, row), bundle)
    assert {item.name: item.value for item in result.features} == records[row]


def test_reasons_that_were_not_logged_contradict_nothing_and_are_given(bundle: Bundle) -> None:
    result = recompute(logged(bundle, 0, "never"), bundle)
    assert result.reproduced
    assert outcomes(result)["reasons"] == "not_logged"
    assert result.reasons == logged(bundle, 0).reasons


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ({"score": 0.123}, "score"),
        ({"probability": 0.123}, "probability"),
        ({"decision": "neither"}, "decision"),
        ({"reasons": (ReasonCode("R99", "hour", "Another reason", 1.0),)}, "reasons"),
    ],
)
def test_each_thing_that_differs_is_named(bundle: Bundle, change: dict[str, object], row: str) -> None:
    result = recompute(replace(logged(bundle, 0), **change), bundle)
    assert not result.reproduced
    assert [what for what, outcome in outcomes(result).items() if outcome == "different"] == [row]


def test_a_reason_of_another_strength_or_wording_differs(bundle: Bundle) -> None:
    honest = logged(bundle, 0)
    first, *rest = honest.reasons
    for field, value, row in [("contribution", 9.0, "contribution"), ("text", "Something else", "text")]:
        forged = replace(honest, reasons=(replace(first, **{field: value}), *rest))
        assert outcomes(recompute(forged, bundle))[f"{first.code} {row}"] == "different"


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(row=st.integers(0, 30), feature=st.integers(0, 4), factor=st.floats(0.05, 20))
def test_an_altered_feature_never_passes_with_another_score(
    bundle: Bundle, row: int, feature: int, factor: float
) -> None:
    """Where the altered vector scores otherwise, it is found; where it scores alike, nothing differs."""
    honest = logged(bundle, row)
    values = list(honest.features)
    values[feature] = (values[feature] or 1.0) * factor
    altered = replace(honest, features=tuple(values))
    result = recompute(altered, bundle)
    same = outcomes(result)["score"] != "different"
    assert result.reproduced <= same


def test_another_bundle_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    other = small_bundle(tmp_path, seed=8)
    with pytest.raises(SerinusError, match="SRN-AUDIT-006"):
        recompute(logged(bundle, 0), other)


def test_a_vector_of_another_length_is_refused(bundle: Bundle) -> None:
    with pytest.raises(SerinusError, match="SRN-AUDIT-007.*4 features were logged, the model has 5"):
        recompute(replace(logged(bundle, 0), features=(1.0, 2.0, 0.0, None)), bundle)
