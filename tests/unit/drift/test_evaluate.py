from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from serinus.bundle import Bundle
from serinus.contract import parse_contract
from serinus.watching.bins import Floats
from serving.drift.detector import NumpyDetector, TwoSample
from serving.drift.evaluate import Yardstick, baseline_of, build_yardstick, evaluate, run_tests
from serving.drift.policy import Policy
from serving.drift.rows import RowReader
from serving.drift.verdict import ColumnVerdict, Verdict
from serving.drift.window import Sample
from tests.support.bundles import small_parts, small_records
from tests.unit.drift.conftest import POLICY, lane, look

Rows = list[dict[str, Any]]
Change = Callable[[dict[str, Any]], dict[str, Any]]


def column(verdict: Verdict, name: str) -> ColumnVerdict:
    return next(c for c in verdict.features if c.name == name)


def changed(rows: Rows, change: Change) -> Rows:
    return [{**row, **change(row)} for row in rows]


def doubled(rows: Rows) -> Rows:
    return changed(rows, lambda row: {"amount": row["amount"] * 2})


def half_missing(rows: Rows) -> Rows:
    return [
        {**row, "days_since_last": None if i % 2 else row["days_since_last"]} for i, row in enumerate(rows)
    ]


def judge(
    yardstick: Yardstick,
    reader: RowReader,
    rows: Rows,
    scores: list[float] | None = None,
    *,
    looks: int = 2,
    policy: Policy = POLICY,
) -> Verdict:
    """The verdict after so many looks at the same."""
    under = lane(yardstick, policy)
    verdicts = [look(under, yardstick, reader, rows, scores, policy) for _ in range(looks)]
    assert verdicts[-1] is not None
    return verdicts[-1]


def test_sixty_clean_looks_are_stable(yardstick: Yardstick, reader: RowReader) -> None:
    under = lane(yardstick)
    verdicts = [look(under, yardstick, reader, small_records(500, seed=100 + i)) for i in range(60)]
    assert {v.feature_status for v in verdicts if v} == {"stable"}
    assert {v.quality for v in verdicts if v} == {"good"}
    assert not any(v.calls_for_retraining for v in verdicts if v)


@pytest.mark.parametrize("decides", ["evidence", "tests"])
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
    yardstick: Yardstick, reader: RowReader, change: Change, name: str, decides: Any
) -> None:
    policy = Policy(decides=decides)
    verdict = judge(yardstick, reader, changed(small_records(500, seed=9), change), policy=policy)
    assert verdict.drifted == (name,)
    assert verdict.calls_for_retraining
    found = column(verdict, name)
    assert found.effect is not None
    assert found.psi_limit is not None
    assert found.effect.psi > found.psi_limit
    assert found.evidence_log10 is not None
    assert found.evidence_log10 >= verdict.column_threshold_log10
    assert found.test is not None
    assert found.test.p_value is not None
    assert found.test.p_value <= verdict.p_threshold


def test_a_shift_hidden_behind_a_few_missing_values_is_found(yardstick: Yardstick, reader: RowReader) -> None:
    rows = small_records(500, seed=9)
    for i, row in enumerate(rows):
        row["days_since_last"] = None if i % 100 == 0 else (row["days_since_last"] or 0.0) + 60.0
    verdict = judge(yardstick, reader, rows)
    assert verdict.drifted == ("days_since_last",)
    assert verdict.quality == "good"


def test_evidence_without_effect_is_stable_and_so_is_effect_without_evidence(
    yardstick: Yardstick, reader: RowReader
) -> None:
    rows = doubled(small_records(500, seed=9))
    asks_much = Policy(min_psi=50.0)
    verdict = judge(yardstick, reader, rows, policy=asks_much)
    found = column(verdict, "amount")
    assert found.evidence_log10 is not None
    assert found.evidence_log10 >= verdict.column_threshold_log10
    assert found.status == "stable"
    barely = judge(yardstick, reader, rows[:230], looks=1, policy=Policy(budget=1e300))
    found = column(barely, "amount")
    assert found.effect is not None
    assert found.psi_limit is not None
    assert found.effect.psi > found.psi_limit
    assert found.status == "stable"


def test_a_test_without_an_answer_is_no_data_and_not_a_pass(bundle: Bundle, reader: RowReader) -> None:
    class Silent:
        def __init__(self, categorical: bool, reference: Floats) -> None:
            pass

        def compare(self, window: Floats) -> TwoSample:
            return TwoSample(float("nan"), float("nan"))

    policy = Policy(decides="tests")
    verdict = judge(
        build_yardstick(bundle, Silent, 500, policy), reader, small_records(500, seed=9), policy=policy
    )
    assert verdict.feature_status == "no_data"
    assert column(verdict, "amount").test is not None


def test_without_window_tests_the_evidence_decides_alone(bundle: Bundle, reader: RowReader) -> None:
    verdict = judge(build_yardstick(bundle, None, 500, POLICY), reader, doubled(small_records(500, seed=9)))
    assert verdict.drifted == ("amount",)
    test = column(verdict, "amount").test
    assert test is not None
    assert test.p_value is None


def test_a_surge_of_missing_values_is_bad_data_and_never_a_reason_to_retrain(
    yardstick: Yardstick, reader: RowReader
) -> None:
    verdict = judge(yardstick, reader, doubled(half_missing(small_records(500, seed=9))))
    assert verdict.quality == "bad"
    assert column(verdict, "days_since_last").status == "stable"
    assert verdict.drifted == ("amount",), "the truth is told"
    assert not verdict.calls_for_retraining, "but not acted upon"
    assert verdict.quality_score == pytest.approx(0.56, abs=0.05)


@pytest.mark.parametrize(
    ("bad", "kind", "where"),
    [
        pytest.param({"days_since_last": None}, "missing", "days_since_last", id="missing, allowed"),
        pytest.param({"hour": None}, "missing", "hour", id="missing, refused"),
        pytest.param({"channel": "app"}, "unknown", "channel", id="unknown category"),
        pytest.param({"amount": -1.0}, "outside", "amount", id="out of range"),
        pytest.param({"amount": "12 EUR"}, "refused", "", id="another type"),
        pytest.param({"surprise": 1}, "refused", "", id="another shape"),
    ],
)
def test_kinds_of_bad_data_are_told_apart(
    yardstick: Yardstick, reader: RowReader, bad: dict[str, Any], kind: str, where: str
) -> None:
    rows = [{**row, **(bad if i % 10 == 0 else {})} for i, row in enumerate(small_records(500, seed=9))]
    verdict = judge(yardstick, reader, rows)
    found = [(s.kind, s.column) for s in verdict.shares if s.quality == "bad"]
    assert found == [(kind, where)]
    assert verdict.quality == "bad"
    assert verdict.rows == 500
    assert where in verdict.quality_reason
    assert verdict.feature_status == "stable"
    assert not verdict.calls_for_retraining


def test_one_percent_of_missing_values_where_there_were_none_is_found(
    yardstick: Yardstick, reader: RowReader
) -> None:
    rows = [{**row, **({"hour": None} if i % 100 == 0 else {})} for i, row in enumerate(small_records(500))]
    assert judge(yardstick, reader, rows, looks=12).quality == "bad"


@pytest.mark.parametrize("rows", [1, 49])
def test_a_tiny_look_is_no_data(yardstick: Yardstick, reader: RowReader, rows: int) -> None:
    verdict = judge(yardstick, reader, doubled(small_records(rows, seed=9)), looks=1)
    assert (verdict.feature_status, verdict.score.status, verdict.quality) == (
        "no_data",
        "no_data",
        "no_data",
    )


def test_tiny_looks_add_up(yardstick: Yardstick, reader: RowReader) -> None:
    rows, under = doubled(small_records(1000, seed=9)), lane(yardstick)
    verdicts = [look(under, yardstick, reader, rows[i : i + 20]) for i in range(0, 1000, 20)]
    assert verdicts[-1] is not None
    assert verdicts[-1].drifted == ("amount",)


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
    rows = doubled(small_records(500, seed=9))
    verdicts = [judge(build_yardstick(bundle, NumpyDetector, 500, POLICY), reader, rows) for _ in range(2)]
    assert verdicts[0] == verdicts[1]


def timed(bundle: Bundle) -> Any:
    """The bundle, with ``hour`` declared as a part of a time."""
    document = msgspec.json.decode(msgspec.json.encode(small_parts().contract))
    document["columns"]["at"] = {"type": "timestamp"}
    document["event"]["time"] = "at"
    document["features"][1] = {"name": "hour", "column": "at", "part": "hour"}

    class Timed:
        contract = parse_contract(document, where="test")
        levels = bundle.levels
        reference_rows = bundle.reference_rows
        reference_scores = bundle.reference_scores

    return Timed


def test_a_part_of_the_time_is_never_drift_because_a_look_holds_only_its_own_hours(
    bundle: Bundle, reader: RowReader
) -> None:
    rows = changed(small_records(500, seed=9), lambda row: {"hour": 3})
    assert judge(build_yardstick(bundle, NumpyDetector, 500, POLICY), reader, rows).drifted == ("hour",)
    yardstick = build_yardstick(timed(bundle), NumpyDetector, 500, POLICY)
    assert [c.name for c in yardstick.features if c.unjudged] == ["hour"]
    assert yardstick.tests == 5 + 1 - 1
    verdict = judge(yardstick, reader, rows)
    assert column(verdict, "hour").status == "no_data"
    assert column(verdict, "hour").quality == "good", "its missing values are watched all the same"
    assert verdict.feature_status == "stable"


def test_only_the_contract_says_what_is_out_of_range(bundle: Bundle) -> None:
    columns = {c.name: c for c in baseline_of(bundle).columns}
    assert (columns["amount"].low, columns["amount"].high) == (0, 100_000)
    assert columns["days_since_last"].high > 1e300, "there a larger value is drift, and no fault of the data"


def test_a_constant_column_is_stable_until_it_moves(bundle: Bundle) -> None:
    rows = bundle.reference_rows.copy()
    rows[:, 1] = 0.0

    class Constant:
        contract, levels = bundle.contract, bundle.levels
        reference_rows, reference_scores = rows, bundle.reference_scores

    yardstick = build_yardstick(Constant, NumpyDetector, 500, POLICY)  # pyright: ignore[reportArgumentType]
    for value, status in ((0.0, "stable"), (2.0, "drift")):
        under, vectors = lane(yardstick), rows[:500].copy()
        vectors[:, 1] = value
        under._tally.add(vectors)
        closed = under.close(0.0, 1.0)
        assert closed is not None
        tests = run_tests(yardstick, Sample(vectors, np.empty(0)), POLICY)
        verdict = evaluate("p", yardstick, closed.report, closed.sketch, tests, POLICY)
        assert column(verdict, "hour").status == status
