"""What must hold for any traffic: validity, and that nothing but the units matters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from serinus.evidence import Counter, Evidence, Guard, Plan, Sample, judge, start, update, updating
from tests.unit.evidence import laws
from tests.unit.evidence.laws import Batch, gather, odds_share, plan_of, scrapes


@st.composite
def batch(draw: st.DrawFn) -> Batch:
    n_s, n_c = draw(st.integers(0, 400)), draw(st.integers(0, 200))
    return n_s, n_c, draw(st.integers(0, n_s)), draw(st.integers(0, n_c))


histories = st.lists(batch(), max_size=4)


@given(histories, st.integers(0, 60), st.integers(0, 30), st.data())
@settings(max_examples=60, deadline=None)
def test_no_batch_raises_the_expected_evidence_of_a_canary_at_its_margin(
    history: list[Batch], n_s: int, n_c: int, data: st.DataObject
) -> None:
    total = data.draw(st.integers(0, n_s + n_c))
    laws.evidence_is_a_supermartingale(history, (n_s, n_c, total))


@given(histories, st.floats(0.05, 1.25), st.integers(1, 25))
@settings(max_examples=30, deadline=None)
def test_nor_of_a_canary_within_its_margin(history: list[Batch], ratio: float, total: int) -> None:
    laws.evidence_is_a_supermartingale(history, (40, 15, total), ratio)


@given(histories.filter(bool), st.integers(1, 25), st.sampled_from([100.0, 300.0, 1000.0]))
@settings(max_examples=30, deadline=None)
def test_nor_does_an_onset_that_opens_create_evidence(history: list[Batch], total: int, every: float) -> None:
    laws.evidence_is_a_supermartingale(history, (40, 15, total), every=every)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_rounding_never_creates_evidence(values: list[float]) -> None:
    exact = np.array(values)
    stored = updating.floor32(exact).astype(np.float64)
    assert (stored <= exact).all()
    assert np.allclose(stored, exact, rtol=1e-6, atol=1e-30)


def test_the_evidence_of_a_harmful_canary_does_rise() -> None:
    with pytest.raises(AssertionError):
        laws.evidence_is_a_supermartingale([], (40, 15, 12), ratio=5.0)


@given(histories.filter(bool))
@settings(max_examples=40, deadline=None)
def test_every_unit_counts_once(batches: list[Batch]) -> None:
    laws.every_unit_counts_once(batches)


@given(histories)
@settings(max_examples=30, deadline=None)
def test_a_repeated_scrape_changes_nothing(batches: list[Batch]) -> None:
    laws.a_repeated_scrape_changes_nothing(batches)


@given(histories)
@settings(max_examples=30, deadline=None)
def test_a_restart_changes_nothing(batches: list[Batch]) -> None:
    laws.a_restart_changes_nothing(batches)


@given(histories.filter(bool), st.integers(1, 5), st.integers(1, 3), st.randoms())
@settings(max_examples=25, deadline=None)
def test_it_does_not_matter_how_units_are_spread_over_pods(
    batches: list[Batch], stable_pods: int, canary_pods: int, random: object
) -> None:
    plan = plan_of()
    rng = np.random.default_rng(7)
    one = gather(plan, scrapes(batches))

    def split(total: np.ndarray, pods: int) -> np.ndarray:
        """Units and bad units dealt to pods, so that no pod has more bad units than units."""
        bad = rng.multinomial(total[1], np.full(pods, 1 / pods))
        good = rng.multinomial(total[0] - total[1], np.full(pods, 1 / pods))
        return np.stack([good + bad, bad], axis=1)

    stable, canary = np.zeros((stable_pods, 2)), np.zeros((canary_pods, 2))
    samples = []
    for k in range(len(batches) + 1):
        if k:
            n_s, n_c, bad_s, bad_c = batches[k - 1]
            stable += split(np.array([n_s, bad_s]), stable_pods)
            canary += split(np.array([n_c, bad_c]), canary_pods)
        samples.append(
            laws.sample(
                15.0 * k,
                {f"s{i}": tuple(row) for i, row in enumerate(stable.tolist())},
                {f"c{i}": tuple(row) for i, row in enumerate(canary.tolist())},
            )
        )
    assert gather(plan, samples).guards == one.guards


def _false_rollbacks(runs: int, looks: int, *, alpha: float, seed: int) -> int:
    """Canaries exactly at their margin that are ever called harmful, under everything that must not matter:
    a base rate that drifts by 80 % and jumps, a share that ramps, scrapes at random times, several pods,
    look at each."""
    rng = np.random.default_rng(seed)
    plan = Plan(guards=(Guard(name="errors", metric="errors", margin_ratio=1.1),), alpha=alpha, epoch="2m")
    hits = 0
    for _ in range(runs):
        evidence, at = start(plan), 0.0
        stable, canary = np.zeros((2, 2)), np.zeros((2, 2))
        phase, rate = rng.random() * 6, 10 ** rng.uniform(0.3, 2)
        for k in range(looks):
            gap = rng.exponential(15.0)
            at += gap
            base = 0.05 * (1 + 0.8 * math.sin(phase + at / 300))
            if k % 40 > 34:
                base = 0.5  # an incident that both arms share
            share = min(0.5, 0.05 + k / looks)
            for counts, part, p in (
                (stable, 1 - share, base),
                (canary, share, odds_share(base, 1.1)),
            ):
                n = rng.poisson(rate * gap * part / 2, size=2)
                counts += np.stack([n, rng.binomial(n, p)], axis=1)
            evidence = update(
                plan,
                evidence,
                Sample(
                    at=at,
                    stable={
                        f"s{i}": {"errors": Counter(n, (b,))} for i, (n, b) in enumerate(stable.tolist())
                    },
                    canary={
                        f"c{i}": {"errors": Counter(n, (b,))} for i, (n, b) in enumerate(canary.tolist())
                    },
                ),
            )
            if judge(plan, evidence).outcome == "harm":
                hits += 1
                break
    return hits


def test_false_rollbacks_stay_within_alpha_under_drift_incidents_ramps_and_any_looks() -> None:
    runs, alpha = 60, 0.1
    # If the true chance were alpha, more hits than this would come once in a thousand.
    assert _false_rollbacks(runs, 50, alpha=alpha, seed=11) <= binom.ppf(0.999, runs, alpha)


def test_the_order_of_sources_and_metrics_does_not_matter() -> None:
    plan = plan_of()

    def run(names: tuple[str, ...]) -> Evidence:
        return gather(
            plan,
            [
                laws.sample(15.0 * k, dict.fromkeys(names, (100 * k, 2 * k)), {"c": (30 * k, 3 * k)})
                for k in range(4)
            ],
        )

    assert run(("a", "b", "c")).guards == run(("c", "a", "b")).guards
