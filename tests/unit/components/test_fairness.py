"""The policy's measures: fairlearn's values, honest intervals, no data as a verdict of its own."""

from __future__ import annotations

import fairlearn.metrics as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.fairness.fairness import ON_TEST, OUT_OF_SAMPLE, choose, count, reference_of
from components.table import Rows
from components.train.mitigation import reweigh
from serinus.contract import FairnessMeasure
from serinus.fairness import Group, difference, judge, overall, ratio
from tests.unit.components.support import contract

AIR = FairnessMeasure(measure="adverse_impact_ratio", min=0.8)
PARITY = FairnessMeasure(measure="demographic_parity_difference", max=0.1)
OPPORTUNITY = FairnessMeasure(measure="equal_opportunity_difference", max=0.1)


def group(
    name: str, rows: int, approved: int, good: int | None = None, good_approved: int | None = None
) -> Group:
    return Group(name, rows, approved, good if good is not None else rows, good_approved or approved)


@pytest.mark.parametrize(
    ("policy", "approved", "verdict"),
    [
        (AIR, 72, "pass"),
        (AIR, 71, "fail"),
        (PARITY, 80, "pass"),
        (PARITY, 79, "fail"),
        (OPPORTUNITY, 79, "fail"),
    ],
)
def test_the_verdict_turns_at_the_limit(policy: FairnessMeasure, approved: int, verdict: str) -> None:
    found = judge("race", policy, group("a", 100, approved), group("b", 1000, 900), 30)
    assert found.verdict == verdict


@pytest.mark.parametrize("small", [(29, 1000), (1000, 29)])
def test_too_few_rows_on_either_side_are_no_data_and_say_so(small: tuple[int, int]) -> None:
    found = judge("race", AIR, group("a", small[0], 1), group("b", small[1], 20), 30)
    assert (found.verdict, found.value, found.sure) == ("no_data", None, False)
    assert "29 rows, fewer than 30" in found.why


def test_equal_opportunity_counts_good_outcomes_only() -> None:
    few_good = group("a", 500, 400, good=20, good_approved=10)
    assert judge("race", OPPORTUNITY, few_good, group("b", 500, 400), 30).verdict == "no_data"
    assert judge("race", AIR, few_good, group("b", 500, 400), 30).verdict == "pass"


def test_a_small_sample_is_not_sure_and_a_large_one_is() -> None:
    assert not judge("race", AIR, group("a", 40, 28), group("b", 1000, 900), 30).sure
    assert judge("race", AIR, group("a", 4000, 2800), group("b", 100_000, 90_000), 30).sure


def test_nobody_approved_in_the_reference_is_no_data() -> None:
    assert judge("race", AIR, group("a", 100, 10), group("b", 100, 0), 30).verdict == "no_data"


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["pass", "no_data"], "pass"),
        (["pass", "fail", "no_data"], "fail"),
        (["no_data"], "no_data"),
        ([], "no_data"),
    ],
)
def test_one_failure_fails_and_nothing_judged_is_no_data(verdicts: list[str], expected: str) -> None:
    shapes = {"pass": (100, 90), "fail": (100, 10), "no_data": (5, 5)}
    findings = [judge("race", AIR, group("a", *shapes[v]), group("b", 1000, 900), 30) for v in verdicts]
    assert overall(findings) == expected


def rows(values: list[str], outcome: list[float]) -> Rows:
    return Rows({}, np.array(outcome), None, {"group": np.array(values, dtype=object)})


def test_counts_and_measures_equal_fairlearns() -> None:
    random = np.random.default_rng(5)
    values = random.choice(["a", "b"], 600).tolist()
    outcome, probability = (random.random(600) < 0.4).astype(float), random.random(600)
    groups = count(contract(), np.array(values, dtype=object), rows(values, outcome.tolist()), probability)
    approved = probability < 0.5
    expected = oracle.demographic_parity_ratio(outcome, approved, sensitive_features=values)
    shares = {name: g.approved / g.rows for name, g in groups.items()}
    assert min(shares.values()) / max(shares.values()) == pytest.approx(expected)
    frame = oracle.MetricFrame(
        metrics=oracle.selection_rate,
        y_true=outcome,
        y_pred=approved,
        sensitive_features=np.array(values),
    )
    assert shares == pytest.approx(frame.by_group.to_dict())
    gap = oracle.demographic_parity_difference(outcome, approved, sensitive_features=values)
    a, b = groups["a"], groups["b"]
    assert difference(a.approved, a.rows, b.approved, b.rows)[0] == pytest.approx(gap)


def test_rows_of_unknown_group_are_left_out() -> None:
    table = rows(["a", "", "b"], [0.0, 0.0, 1.0])
    found = count(contract(), table.protected["group"], table, np.full(3, 0.1))
    assert sorted(found) == ["a", "b"]


def test_a_reference_without_rows_gives_way_to_the_largest_group() -> None:
    assert reference_of("b", {"a": 1, "b": 2}) == "b"
    assert reference_of("b", {"a": 1, "c": 2}) == "a"


def test_all_rows_are_judged_only_where_the_test_rows_hold_too_few_of_a_group() -> None:
    many, few = ["a"] * 40 + ["b"] * 60, ["a"] * 10 + ["b"] * 90
    test, unseen = np.full(100, 0.2), np.full(100, 0.2)
    assert choose(contract(), rows(many, [0.0] * 100), test, unseen)[0] == ON_TEST
    # ten of a group everywhere: more rows cannot help, so the model itself is judged
    assert choose(contract(), rows(few, [0.0] * 100), test, unseen)[0] == ON_TEST
    test[:20] = np.nan
    assert choose(contract(), rows(many, [0.0] * 100), test, unseen)[0] == OUT_OF_SAMPLE
    assert choose(contract(), rows(many, [0.0] * 100), test, np.full(100, np.nan))[0] == ON_TEST


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 300), st.integers(0, 300), st.integers(1, 300), st.integers(1, 300))
def test_intervals_hold_their_value(n: int, hits: int, base_rows: int, base: int) -> None:
    hits, base = min(hits, n), min(base, base_rows)
    for value, low, high in (ratio(hits, n, base, base_rows), difference(hits, n, base, base_rows)):
        assert 0 <= low <= value + 1e-9
        assert value <= high + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0.0, 1.0])), min_size=20, max_size=200))
def test_reweighing_makes_outcome_and_group_independent_and_keeps_the_totals(
    pairs: list[tuple[str, float]],
) -> None:
    groups, outcome = np.array([p[0] for p in pairs], dtype=object), np.array([p[1] for p in pairs])
    weights, _ = reweigh(groups, outcome)
    for name in set(groups.tolist()):
        inside = groups == name
        if len(set(outcome[inside])) == 2:
            share = np.average(outcome[inside], weights=weights[inside])
            assert share == pytest.approx(outcome.mean())
