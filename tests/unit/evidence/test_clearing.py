"""No harm: how often a harmful canary is cleared, and how a good one gets there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from serinus.evidence import clearing, judge, primitive
from serinus.evidence.grid import grid_of
from serinus.evidence.types import Guard
from serinus.evidence.updating import rows_of
from tests.unit.evidence.laws import gather, odds_share, plan_of, scrapes


def _log_clear(history: list[tuple[int, int, int, int]], **fields: object) -> np.ndarray:
    plan = plan_of(**fields)
    state = gather(plan, scrapes(history)).guards[0]
    grid = grid_of(plan.guards[0])
    return clearing.log_clear(rows_of(state, grid), grid)[0]


@pytest.mark.parametrize("base", [0.001, 0.01, 0.2, 0.6])
@pytest.mark.parametrize("history", [[], [(200, 30, 4, 1)], [(200, 30, 90, 10), (50, 50, 0, 20)]])
def test_the_evidence_of_no_harm_does_not_rise_on_average_for_a_canary_harmful_by_both_margins(
    base: float, history: list[tuple[int, int, int, int]]
) -> None:
    """Exact, over every outcome of one more batch; harmful to just the degree that matters by either
    margin."""
    margins = {"margin_ratio": 1.5, "margin_absolute": 0.02}
    worse = max(odds_share(base, 1.5), base + 0.02)
    n_s, n_c = 12, 6
    before = float(np.exp(_log_clear(history, **margins)[0])) if history else 1.0
    mean = 0.0
    for x_s in range(n_s + 1):
        for x_c in range(n_c + 1):
            after = _log_clear([*history, (n_s, n_c, x_s, x_c)], **margins)
            mean += float(np.exp(after[0]) * binom.pmf(x_s, n_s, base) * binom.pmf(x_c, n_c, worse))
    assert mean <= before * (1 + 1e-4)


def test_a_two_sided_guard_keeps_its_sides_apart() -> None:
    """Far fewer bad units rule out "more" and show "less": one side must not clear for the other."""
    more, less = _log_clear([(1800, 200, 900, 60)] * 3, side="both")
    assert more > math.log(20)
    assert less < 0


def _cleared(p_s: float, p_c: float, *, runs: int, looks: int, seed: int, **fields: object) -> int:
    rng = np.random.default_rng(seed)
    plan, cleared = plan_of(**fields), 0
    for _ in range(runs):
        n = np.stack([rng.poisson(270, looks), rng.poisson(30, looks)], axis=1)
        bad = rng.binomial(n, [p_s, p_c])
        evidence = gather(plan, [])
        batches = [(row[0], row[1], row[2], row[3]) for row in np.hstack([n, bad]).tolist()]
        for k, one in enumerate(scrapes(batches)):
            evidence = gather(plan, [one], evidence)
            if k % 4 == 0 and judge(plan, evidence).outcome == "clear":
                cleared += 1
                break
    return cleared


def test_a_harmful_canary_is_seldom_cleared() -> None:
    runs, beta = 40, 0.05
    assert _cleared(0.005, 0.0101, runs=runs, looks=30, seed=1) <= binom.ppf(0.999, runs, beta)


def test_a_good_canary_is_cleared() -> None:
    assert _cleared(0.001, 0.001, runs=10, looks=80, seed=2) >= 9


def test_bounds_never_exclude_what_finer_nodes_would_keep() -> None:
    """Between nodes the likelihood is bounded from above, so the interval holds the one of the exact
    curve."""
    coarse = grid_of(Guard(name="e", metric="e")).thetas
    fine = tuple(np.linspace(coarse[0], coarse[-1], 1500).tolist())
    for bad_c, bad_s in ((4, 40), (20, 40), (0, 30), (60, 500)):
        nodes, exact = (
            primitive.log_likelihoods(1000, 9000, np.array([bad_c]), np.array([bad_s]), thetas)[0]
            for thetas in (coarse, fine)
        )
        low, high = clearing.ratio_bounds(nodes, coarse, 0.05)
        weights = nodes - math.log(len(coarse))
        for side, bound in ((1, high), (-1, low)):
            for t, value in zip(fine, exact, strict=True):
                # The evidence against "t or further" from exactly known likelihoods.
                nearer = [w for w, node in zip(weights, coarse, strict=True) if (t - node) * side > 0]
                excluded = bool(nearer) and np.logaddexp.reduce(nearer) - value >= math.log(40)
                if not excluded and side > 0 and bound is not None:
                    assert math.exp(t) <= bound * 1.01 or value < exact.max() - 60
                    break
        assert low is None or high is None or low < high


@given(st.integers(1, 100_000), st.floats(0, 1))
@settings(max_examples=60)
def test_share_bounds_hold_the_observed_share(n: int, part: float) -> None:
    bad = round(part * n)
    low, high = clearing._share_bounds(n, bad, 0.025)
    assert 0 <= low <= bad / n <= high <= 1


def test_the_share_bounds_are_the_beta_mixtures() -> None:
    """Against the closed form for no bad unit in n: (1 - p)^n = delta/(n + 1)."""
    _, high = clearing._share_bounds(500, 0, 0.025)
    assert high == pytest.approx(1 - (0.025 / 501) ** (1 / 500), rel=1e-6)


@pytest.mark.parametrize(("p", "direction"), [(0.0, 1), (0.005, 1), (0.3, -1), (0.9, 1)])
def test_the_forecast_is_positive_and_falls_with_the_margin(p: float, direction: int) -> None:
    narrow = clearing.requests_to_clear(3.7, p, 0.1, direction, 1.25, 0.005)
    wide = clearing.requests_to_clear(3.7, p, 0.1, direction, 2.0, 0.05)
    assert narrow is not None
    assert wide is not None
    assert 0 < wide < narrow
    assert clearing.requests_to_clear(-1.0, p, 0.1, direction, 1.25, 0.005) == 0
    assert clearing.requests_to_clear(3.7, p, 0.0, direction, 1.25, 0.005) is None
