from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from serinus.bundle import Bundle
from serving.drift.detector import TwoSample
from serving.drift.evaluate import Yardstick, build_yardstick, evaluate
from serving.drift.statistics import Floats
from serving.drift.verdict import ColumnVerdict, Verdict
from serving.drift.window import RowReader, Sample
from tests.support.bundles import small_records
from tests.unit.drift.conftest import POLICY, sample

Rows = list[dict[str, Any]]


def column(verdict: Verdict, name: str) -> ColumnVerdict:
    return next(c for c in verdict.features if c.name == name)


def doubled(rows: Rows) -> Rows:
    return [{**row, "amount": row["amount"] * 2} for row in rows]


def judge(yardstick: Yardstick, reader: RowReader, rows: Rows, scores: list[float] | None = None) -> Verdict:
    return evaluate("champion", yardstick, sample(reader, rows, scores), POLICY)


def test_sixty_clean_windows_are_stable(yardstick: Yardstick, reader: RowReader) -> None:
    verdicts = [judge(yardstick, reader, small_records(500, seed=100 + i)) for i in range(60)]
    assert {v.feature_status for v in verdicts} == {"stable"}
    assert {v.quality for v in verdicts} == {"good"}
    assert not any(v.calls_for_retraining for v in verdicts)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        pytest.param(lambda row: {"amount": row["amount"] * 2}, "amount", id="amount doubled"),
        pytest.param(lambda row: {"hour": row["hour"] % 12}, "hour", id="only in the morning"),
        pytest.param(
            lambda row: {"channel": "swipe" if row["hour"] % 2 else row["channel"]}, "channel", id="swipes"
        ),
        pytest.param(
            lambda row: {"merchant_risk": min(1.0, row["merchant_risk"] + 0.15)}, "merchant_risk", id="risk"
        ),
    ],
)
def test_a_shift_is_drift_of_that_feature_alone(
    yardstick: Yardstick, reader: RowReader, change: Callable[[dict[str, Any]], dict[str, Any]], name: str
) -> None:
    verdict = judge(yardstick, reader, [{**row, **change(row)} for row in small_records(500, seed=9)])
    assert verdict.drifted == (name,)
    assert verdict.calls_for_retraining
    assert column(verdict, name).psi is not None


def test_a_shift_hidden_behind_a_few_missing_values_is_found(yardstick: Yardstick, reader: RowReader) -> None:
    rows = small_records(500, seed=9)
    for i, row in enumerate(rows):
        row["days_since_last"] = None if i % 100 == 0 else (row["days_since_last"] or 0.0) + 60.0
    verdict = judge(yardstick, reader, rows)
    assert verdict.drifted == ("days_since_last",)
    assert verdict.quality == "good"


def test_evidence_without_effect_is_stable_and_so_is_effect_without_evidence(
    bundle: Bundle, reader: RowReader
) -> None:
    class Certain:
        def __init__(self, categorical: bool, reference: Floats) -> None:
            pass

        def compare(self, window: Floats) -> TwoSample:
            return TwoSample(0.0, 1.0)

    class Unmoved(Certain):
        def compare(self, window: Floats) -> TwoSample:
            return TwoSample(1.0, 0.0)

    clean, moved = (
        sample(reader, small_records(500, seed=9)),
        sample(reader, doubled(small_records(500, seed=9))),
    )
    certain, unmoved = (build_yardstick(bundle, kind, 500, POLICY) for kind in (Certain, Unmoved))
    assert evaluate("p", certain, clean, POLICY).feature_status == "stable"
    assert evaluate("p", unmoved, moved, POLICY).feature_status == "stable"
    assert evaluate("p", certain, moved, POLICY).drifted == ("amount",)


def test_a_test_without_an_answer_is_no_data_and_not_a_pass(bundle: Bundle, reader: RowReader) -> None:
    class Silent:
        def __init__(self, categorical: bool, reference: Floats) -> None:
            pass

        def compare(self, window: Floats) -> TwoSample:
            return TwoSample(float("nan"), float("nan"))

    verdict = evaluate(
        "p", build_yardstick(bundle, Silent, 500, POLICY), sample(reader, small_records(500, seed=9)), POLICY
    )
    assert verdict.feature_status == "no_data"


def test_a_surge_of_missing_values_is_bad_data_and_never_a_reason_to_retrain(
    yardstick: Yardstick, reader: RowReader
) -> None:
    rows = small_records(500, seed=9)
    for i, row in enumerate(rows):
        row["days_since_last"] = None if i % 2 else row["days_since_last"]
    verdict = judge(yardstick, reader, doubled(rows))
    assert verdict.quality == "bad"
    assert column(verdict, "days_since_last").status == "stable"
    assert verdict.drifted == ("amount",), "the truth is told"
    assert not verdict.calls_for_retraining, "but not acted upon"
    assert verdict.quality_score == pytest.approx(0.56, abs=0.05)


def test_unknown_levels_are_bad_data(yardstick: Yardstick, reader: RowReader) -> None:
    rows = [
        {**row, "channel": "app" if i % 4 == 0 else row["channel"]}
        for i, row in enumerate(small_records(500, seed=9))
    ]
    verdict = judge(yardstick, reader, rows)
    assert verdict.quality == "bad"
    assert column(verdict, "channel").unknown_ratio == pytest.approx(0.25)


def test_refused_rows_are_bad_data_and_named(yardstick: Yardstick, reader: RowReader) -> None:
    rows = [
        {**row, "amount": -1.0 if i % 10 == 0 else row["amount"]}
        for i, row in enumerate(small_records(500, seed=9))
    ]
    verdict = judge(yardstick, reader, rows)
    assert (verdict.refused, verdict.rows, verdict.quality) == (50, 500, "bad")
    assert "amount" in verdict.quality_reason
    assert not verdict.calls_for_retraining


@pytest.mark.parametrize("rows", [0, 1, 99])
def test_a_tiny_window_is_no_data(yardstick: Yardstick, reader: RowReader, rows: int) -> None:
    verdict = judge(yardstick, reader, doubled(small_records(rows, seed=9)))
    assert (verdict.feature_status, verdict.score.status, verdict.quality) == (
        "no_data",
        "no_data",
        "no_data",
    )


def test_a_constant_column_is_no_data_until_it_moves(bundle: Bundle) -> None:
    from serving.drift.detector import NumpyDetector
    from serving.drift.evaluate import _column, _drift

    yardstick = _column("flag", np.zeros(2000), 0, NumpyDetector, 500, POLICY)
    assert _drift(yardstick, np.zeros(500), 1e-6, POLICY).status == "no_data"
    assert _drift(yardstick, np.full(500, 2.0), 1e-6, POLICY).status == "drift"


def test_scores_are_judged_against_the_bundles(
    bundle: Bundle, yardstick: Yardstick, reader: RowReader
) -> None:
    rows, random = small_records(500, seed=9), np.random.default_rng(2)
    same = random.choice(bundle.reference_scores, 500)
    assert judge(yardstick, reader, rows, same.tolist()).score.status == "stable"
    shifted = judge(yardstick, reader, rows, np.sqrt(same).tolist())
    assert shifted.score.status == "drift"
    assert shifted.calls_for_retraining


def test_thresholds_come_from_bundle_and_policy_alone(bundle: Bundle, reader: RowReader) -> None:
    from serving.drift.detector import NumpyDetector

    window: Sample = sample(reader, doubled(small_records(500, seed=9)))
    verdicts = [
        evaluate("p", build_yardstick(bundle, NumpyDetector, 500, POLICY), window, POLICY) for _ in range(2)
    ]
    assert verdicts[0] == verdicts[1]


def test_a_part_of_the_time_is_never_drift_because_a_window_holds_only_its_own_hours(bundle: Bundle) -> None:
    from serving.drift.detector import NumpyDetector
    from serving.drift.evaluate import _column, _judge

    weekdays = (np.arange(2000) % 7 > 4).astype(float)
    for clock, status in ((True, "no_data"), (False, "drift")):
        yardstick = _column("is_weekend", weekdays, 0, NumpyDetector, 500, POLICY, clock=clock)
        verdict = _judge(yardstick, np.ones(500), 0, 1e-6, POLICY)
        assert verdict.status == status
        assert verdict.quality == "good", "its missing values are watched all the same"


def test_the_contract_says_which_features_are_parts_of_the_time(bundle: Bundle) -> None:
    import msgspec

    from serinus.contract import parse_contract
    from serving.drift.detector import NumpyDetector
    from tests.support.bundles import small_parts

    document = msgspec.json.decode(msgspec.json.encode(small_parts().contract))
    document["columns"]["at"] = {"type": "timestamp"}
    document["event"]["time"] = "at"
    document["features"][1] = {"name": "hour", "column": "at", "part": "hour"}

    class Timed:
        contract = parse_contract(document, where="test")
        levels = bundle.levels
        reference_rows = bundle.reference_rows
        reference_scores = bundle.reference_scores

    yardstick = build_yardstick(Timed, NumpyDetector, 500, POLICY)  # pyright: ignore[reportArgumentType]
    assert [column.name for column in yardstick.features if column.unjudged] == ["hour"]
    assert yardstick.tests == 2 * 5 + 1 - 1
