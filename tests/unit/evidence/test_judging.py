"""Verdicts: which outcome, for which reason, with which numbers."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from serinus.errors import SerinusError
from serinus.evidence import (
    Counter,
    Evidence,
    Guard,
    GuardVerdict,
    Plan,
    Sample,
    Verdict,
    judge,
    start,
    update,
)
from tests.unit.evidence.laws import Batch, gather, plan_of, sample, scrapes


def _verdict(batches: list[Batch], **guard: object) -> Verdict:
    plan = plan_of(**guard)
    return judge(plan, gather(plan, scrapes(batches)))


CASES: list[tuple[str, list[Batch], dict[str, object], str]] = [
    ("four times the errors", [(1800, 200, 9, 4)] * 8, {}, "harm"),
    ("every canary request fails", [(54, 6, 0, 6)] * 2, {}, "harm"),
    ("as good as stable, long enough", [(1800, 200, 9, 1)] * 14, {}, "clear"),
    ("no event in either arm, long enough", [(1800, 200, 0, 0)] * 5, {}, "clear"),
    ("no event in either arm, too short", [(1800, 200, 0, 0)] * 2, {}, "undecided"),
    ("a little worse, within the margin", [(1800, 200, 90, 11)] * 5, {}, "undecided"),
    ("nothing seen yet", [], {}, "no_data"),
    ("no canary units", [(1800, 0, 9, 0)] * 20, {}, "no_data"),
    ("no stable units to compare with", [(0, 200, 0, 0)] * 20, {}, "undecided"),
    ("fewer, where fewer is harm", [(1800, 200, 900, 60)] * 3, {"side": "lower"}, "harm"),
    ("more, where fewer is harm", [(1800, 200, 900, 140)] * 6, {"side": "lower"}, "clear"),
    ("more, where either is harm", [(1800, 200, 900, 140)] * 3, {"side": "both"}, "harm"),
    ("fewer, where either is harm", [(1800, 200, 900, 60)] * 3, {"side": "both"}, "harm"),
    (
        "neither, where either is harm",
        [(1800, 200, 900, 100)] * 12,
        {"side": "both", "margin_absolute": 0.05},
        "clear",
    ),
    ("worse than observed only", [(1800, 200, 9, 20)] * 8, {"mode": "observe"}, "no_data"),
]


@pytest.mark.parametrize(("batches", "guard", "outcome"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_outcome(batches: list[Batch], guard: dict[str, object], outcome: str) -> None:
    verdict = _verdict(batches, **guard)
    assert verdict.outcome == outcome, verdict.reason
    assert verdict.reason.endswith(".")
    assert bool(verdict.culprits) == (outcome == "harm")


def test_a_dry_run_reports_harm_and_moves_nothing() -> None:
    verdict = _verdict([(1800, 200, 9, 20)] * 8, mode="observe")
    assert (verdict.guards[0].outcome, verdict.guards[0].mode) == ("harm", "observe")
    assert verdict.log10_e == 0
    assert _verdict([(1800, 200, 9, 20)] * 8).guards[0].mode == "enforce"


def test_harm_is_told_with_its_numbers() -> None:
    verdict = _verdict([(1800, 200, 9, 8)] * 5)
    guard = verdict.guards[0]
    assert verdict.culprits == ("errors",)
    assert (guard.n_stable, guard.n_canary, guard.bad_stable, guard.bad_canary) == (9000, 1000, 45, 40)
    assert guard.ratio_low is not None
    assert 1.25 < guard.ratio_low < 8 < (guard.ratio_high or math.inf)
    assert "40 of 1,000 canary units against 45 of 9,000 stable units" in verdict.reason
    assert verdict.log10_e >= verdict.threshold_log10 == pytest.approx(2)
    assert guard.requests_to_clear is None


def test_a_provider_failure_is_neither_pass_nor_fail_and_keeps_the_evidence() -> None:
    plan = plan_of()
    for batches in ([(1800, 200, 0, 0)] * 9, [(1800, 200, 9, 20)] * 9, []):
        verdict = judge(plan, gather(plan, scrapes(batches)), failure="connection refused")
        assert verdict.outcome == "provider_error"
        assert "connection refused" in verdict.reason
        assert verdict.culprits == ()


def test_how_many_requests_clear_a_quiet_guard_is_foretold() -> None:
    """With no event at all: about ln(2/beta)/margin canary requests, 738 for the defaults."""
    plan, evidence = plan_of(), gather(plan_of(), scrapes([(900, 100, 0, 0)]))
    foretold = judge(plan, evidence).guards[0].requests_to_clear
    assert foretold is not None
    needed = next(n * 100 for n in range(1, 40) if _verdict([(900, 100, 0, 0)] * n).outcome == "clear")
    assert 600 <= needed <= 1100
    assert foretold == pytest.approx(needed - 100, rel=0.4)


def test_the_forecast_shrinks_to_zero() -> None:
    seen = [_verdict([(1800, 200, 9, 1)] * k).guards[0].requests_to_clear for k in range(1, 15)]
    first = seen.index(0)
    assert all(a is not None and b is not None and b < a for a, b in pairwise(seen[: first + 1]))
    assert set(seen[first:]) == {0}


def test_the_bounds_hold_the_truth_and_tighten() -> None:
    rng = np.random.default_rng(23)
    plan, evidence = plan_of(), gather(plan_of(), scrapes([]))
    total, widths, truth = np.zeros(4), [], 3.0
    for k in range(1, 60):
        n_s, n_c = rng.poisson(1800), rng.poisson(200)
        total += [
            n_s,
            n_c,
            rng.binomial(n_s, 0.02),
            rng.binomial(n_c, 0.02 * truth / (1 + 0.02 * (truth - 1))),
        ]
        n_s, n_c, bad_s, bad_c = total.tolist()
        evidence = update(plan, evidence, sample(15.0 * k, {"s": (n_s, bad_s)}, {"c": (n_c, bad_c)}))
        guard = judge(plan, evidence).guards[0]
        assert (guard.ratio_low or 0) <= truth <= (guard.ratio_high or math.inf)
        assert guard.bound >= 0.02 * truth / (1 + 0.02 * (truth - 1)) - 0.02
        widths.append((guard.ratio_high or math.inf) - (guard.ratio_low or 0))
    assert widths[-1] < 2 < widths[2]


def test_a_histogram_names_the_edge_that_tells_most() -> None:
    plan = plan_of()
    rng = np.random.default_rng(4)
    evidence, total = start(plan), np.zeros((2, 6))
    for k in range(20):
        slow = np.array([0.9, 0.6, 0.3, 0.05, 0.01])
        for arm, (n, p) in enumerate([(1800, slow), (200, np.array([0.9, 0.6, 0.3, 0.15, 0.01]))]):
            u = rng.random(n)
            total[arm] += [n, *[(u < q).sum() for q in p]]
        evidence = update(
            plan, evidence, sample(15.0 * k, {"s": tuple(total[0].tolist())}, {"c": tuple(total[1].tolist())})
        )
    verdict = judge(plan, evidence)
    assert verdict.outcome == "harm"
    assert verdict.guards[0].edge == 3


def _many(harmful: set[int], count: int = 8, looks: int = 12) -> Verdict:
    plan = Plan(guards=tuple(Guard(name=f"g{i}", metric=f"m{i}") for i in range(count)))
    evidence = start(plan)
    for k in range(looks):
        evidence = update(
            plan,
            evidence,
            Sample(
                at=15.0 * k,
                stable={"s": {f"m{i}": Counter(1800.0 * k, (9.0 * k,)) for i in range(count)}},
                canary={
                    "c": {
                        f"m{i}": Counter(200.0 * k, ((6.0 if i in harmful else 1.0) * k,))
                        for i in range(count)
                    }
                },
            ),
        )
    return judge(plan, evidence)


def test_the_guards_to_blame_are_named_and_no_others() -> None:
    assert set(_many({2, 5}).culprits) == {"g2", "g5"}
    outcomes = [guard.outcome for guard in _many({2, 5}).guards]
    assert [i for i, outcome in enumerate(outcomes) if outcome == "harm"] == [2, 5]


def test_many_guards_do_not_make_a_good_canary_harmful() -> None:
    assert _many(set()).outcome != "harm"


def test_all_types_survive_json() -> None:
    plan = plan_of(side="both", slo=0.1)
    evidence = gather(plan, scrapes([(1800, 200, 9, 4)] * 3))
    verdict = judge(plan, evidence)
    kinds = {Plan: plan, Evidence: evidence, Verdict: verdict, GuardVerdict: verdict.guards[0]}
    for kind, value in kinds.items():
        assert msgspec.json.decode(msgspec.json.encode(value), type=kind) == value
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"name": "a", "metric": "b", "margin": 2}', type=Guard)


def test_evidence_of_another_plan_is_refused() -> None:
    with pytest.raises(SerinusError, match="SRN-EVIDENCE-002"):
        judge(plan_of(margin_ratio=2.0), start(plan_of()))
    relaxed = Plan(guards=(Guard(name="errors", metric="errors", weight=3.0, mode="observe"),), alpha=0.05)
    judge(relaxed, start(plan_of()))


@pytest.mark.parametrize(
    "fields",
    [
        {"guards": ()},
        {"guards": (Guard(name="a", metric="x"), Guard(name="a", metric="y"))},
        {"epoch": "soon"},
        {"epoch": "0s"},
    ],
    ids=["no guard", "one name twice", "no duration", "empty epoch"],
)
def test_a_plan_that_cannot_be_meant_is_refused(fields: dict[str, object]) -> None:
    whole: dict[str, object] = {"guards": (Guard(name="a", metric="x"),), **fields}
    with pytest.raises(SerinusError, match="SRN-EVIDENCE-001"):
        Plan(**whole)  # type: ignore[arg-type]


def test_late_harm_is_found_within_a_few_epochs() -> None:
    """An hour of good traffic must not outweigh what comes after it."""
    good, bad = [(1800, 200, 9, 1)] * 240, [(1800, 200, 9, 4)] * 40
    plan = plan_of()
    evidence = gather(plan, scrapes(good))
    found = None
    for k, one in enumerate(scrapes(good + bad)[len(good) + 1 :], start=1):
        evidence = update(plan, evidence, one)
        if judge(plan, evidence).outcome == "harm":
            found = k
            break
    assert found is not None
    assert found <= 24


def test_state_of_twelve_histograms_fits_a_resource_status() -> None:
    plan = Plan(guards=tuple(Guard(name=f"g{i}", metric=f"m{i}", side="both") for i in range(12)))
    rng = np.random.default_rng(8)
    totals = {pod: np.zeros((12, 21)) for pod in ("s0", "s1", "s2", "s3", "s4", "s5", "s6", "c0", "c1", "c2")}
    evidence = start(plan)
    for k in range(4):
        for pod, total in totals.items():
            n = rng.poisson(400 if pod.startswith("s") else 100, 12)
            total += np.hstack([n[:, None], np.sort(rng.integers(0, n[:, None] + 1, (12, 20)))[:, ::-1]])
        counters = {
            pod: {f"m{i}": Counter(row[0], tuple(row[1:])) for i, row in enumerate(total.tolist())}
            for pod, total in totals.items()
        }
        stable = {pod: c for pod, c in counters.items() if pod.startswith("s")}
        canary = {pod: c for pod, c in counters.items() if pod.startswith("c")}
        evidence = update(plan, evidence, Sample(at=15.0 * k, stable=stable, canary=canary))
    assert all(state.n_canary > 0 for state in evidence.guards)
    assert len(msgspec.json.encode(evidence)) <= 64 * 1024


def test_a_histogram_clears_only_when_every_edge_does() -> None:
    """The middle edge is as good as shown, the last one is harmful: a mean over edges would have let it pass."""
    plan = plan_of(margin_absolute=0.02, margin_ratio=1.5)
    samples = [
        sample(15.0 * k, {"s": (1800.0 * k, 900.0 * k, 18.0 * k)}, {"c": (200.0 * k, 100.0 * k, 4.0 * k)})
        for k in range(60)
    ]
    assert judge(plan, gather(plan, samples)).outcome != "clear"
    alone = [
        sample(15.0 * k, {"s": (1800.0 * k, 900.0 * k)}, {"c": (200.0 * k, 100.0 * k)}) for k in range(60)
    ]
    assert judge(plan, gather(plan, alone)).outcome == "clear"


def test_a_guard_without_data_withholds_the_clearance_of_the_others() -> None:
    plan = Plan(guards=(Guard(name="errors", metric="errors"), Guard(name="latency", metric="latency")))
    evidence = gather(plan, scrapes([(1800, 200, 9, 1)] * 20))
    verdict = judge(plan, evidence)
    assert [guard.outcome for guard in verdict.guards] == ["clear", "no_data"]
    assert verdict.outcome == "undecided"
    assert "latency" in verdict.reason
