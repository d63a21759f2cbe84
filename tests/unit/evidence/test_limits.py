"""One-sample evidence: the SLO, and the sample-ratio guard that is built on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from serinus.evidence import judge, routing, slo
from serinus.evidence.grid import LOG_PRIOR
from serinus.evidence.types import Routing
from tests.unit.evidence.laws import gather, plan_of, sample, scrapes


def _mixture(n: int, bad: int, limit: float, direction: int) -> float:
    return float(np.exp(np.logaddexp.reduce(LOG_PRIOR + slo.log_ratios(n, bad, limit, direction))))


@given(st.integers(0, 60), st.floats(0.001, 0.9), st.floats(0.001, 1), st.sampled_from([1, -1]))
@settings(max_examples=100, deadline=None)
def test_the_mean_is_at_most_one_within_the_limit(n: int, limit: float, inner: float, direction: int) -> None:
    p = limit * inner if direction > 0 else limit + (1 - limit) * inner
    mean = sum(_mixture(n, x, limit, direction) * binom.pmf(x, n, p) for x in range(n + 1))
    assert mean <= 1 + 1e-9


def test_both_arms_being_bad_is_harm_by_the_slo_and_by_nothing_else() -> None:
    batches = [(540, 60, 54, 6)] * 30
    assert judge(plan_of(), gather(plan_of(), scrapes(batches))).outcome != "harm"
    plan = plan_of(slo=0.02)
    verdict = judge(plan, gather(plan, scrapes(batches)))
    assert verdict.outcome == "harm"
    assert "limit of 2 %" in verdict.reason


def test_a_canary_within_its_slo_is_left_alone() -> None:
    plan = plan_of(slo=0.02)
    assert judge(plan, gather(plan, scrapes([(540, 60, 8, 1)] * 60))).outcome != "harm"


def _verdict(share: float, declared: float | None, looks: int = 40, seed: int = 3) -> str:
    rng = np.random.default_rng(seed)
    plan, samples, total = plan_of(), [], np.zeros(2)
    for k in range(looks):
        total += [rng.poisson(300 * (1 - share)), rng.poisson(300 * share)]
        samples.append(sample(15.0 * k, {"s": (total[0], 0)}, {"c": (total[1], 0)}, share=declared))
    return judge(plan, gather(plan, samples)).outcome


@pytest.mark.parametrize("declared", [0.01, 0.05, 0.1, 0.5, 0.9])
def test_traffic_as_declared_is_no_broken_routing(declared: float) -> None:
    assert _verdict(declared, declared) != "routing_broken"


@pytest.mark.parametrize(
    ("got", "declared"),
    [(0.056, 0.1), (0.5, 0.1), (0.001, 0.1), (0.3, 0.5)],
    ids=["a rendezvous hash without the logarithm", "a rule that was not applied", "no traffic", "half"],
)
def test_broken_routing_is_told(got: float, declared: float) -> None:
    assert _verdict(got, declared) == "routing_broken"


def test_an_undeclared_share_is_not_checked() -> None:
    assert _verdict(0.3, None) != "routing_broken"


def test_false_alarms_of_the_sample_ratio_guard_are_rare_at_the_edge_of_its_band() -> None:
    """At the edge of the tolerated band, the worst case, over 200 looks; nominal chance 1 in 10,000 per
    side."""
    rng = np.random.default_rng(17)
    odds = 0.1 / 0.9 * routing.TOLERANCE
    p, alarms = odds / (1 + odds), 0
    for _ in range(300):
        state = Routing(share=0.1)
        for _ in range(200):
            n_c = int(rng.binomial(50, p))
            state = routing.add(state, 0.1, n_c, 50 - n_c, complete=True)
        alarms += routing.log10_evidence(state) >= routing.LOG10_THRESHOLD
    assert alarms == 0


def test_the_sample_ratio_starts_afresh_when_the_weight_changes_and_skips_batches_with_a_pod_missing() -> (
    None
):
    state = Routing(share=0.1, n_canary=500, n_stable=500)
    assert routing.add(state, 0.5, 10, 10, complete=True) == Routing(share=0.5)
    assert routing.add(state, 0.1, 10, 10, complete=False) == state
