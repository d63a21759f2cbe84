"""The shadow: both models answer the same request."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from serinus.evidence import Pairs, judge_pairs
from serinus.evidence.paired import log10_paired


@given(st.integers(0, 80), st.floats(1, 3), st.floats(0.001, 1))
@settings(max_examples=80, deadline=None)
def test_the_mean_is_at_most_one_within_the_margin(n: int, margin: float, inner: float) -> None:
    edge = margin / (1 + margin)
    for direction, p in ((1, edge * inner), (-1, edge + (1 - edge) * inner)):
        mean = sum(
            10 ** log10_paired(Pairs(0, x, n - x), margin, direction) * binom.pmf(x, n, p)
            for x in range(n + 1)
        )
        assert mean <= 1 + 1e-9


def test_pairs_are_counted_by_who_was_bad() -> None:
    pairs = Pairs()
    for champion, candidate in ((False, False), (True, True), (False, True), (False, True), (True, False)):
        pairs = pairs.add(champion_bad=champion, candidate_bad=candidate)
    assert pairs == Pairs(agree=2, worse=2, better=1)


@pytest.mark.parametrize(
    ("pairs", "outcome"),
    [
        (Pairs(), "no_data"),
        (Pairs(agree=10_000), "no_data"),
        (Pairs(agree=10, worse=3, better=2), "undecided"),
        (Pairs(agree=900, worse=70, better=20), "harm"),
        (Pairs(agree=900, worse=20, better=70), "clear"),
        (Pairs(agree=0, worse=450, better=450), "clear"),
    ],
)
def test_the_outcome(pairs: Pairs, outcome: str) -> None:
    verdict = judge_pairs(pairs)
    assert verdict.outcome == outcome, verdict.reason


def test_a_candidate_at_its_margin_is_seldom_called_harmful_at_any_look() -> None:
    rng = np.random.default_rng(6)
    runs, alpha, hits = 200, 0.05, 0
    for _ in range(runs):
        worse = np.cumsum(rng.random(400) < 1.25 / 2.25)
        hits += any(
            judge_pairs(Pairs(0, int(worse[k]), k + 1 - int(worse[k])), alpha=alpha).outcome == "harm"
            for k in range(0, 400, 8)
        )
    assert hits <= binom.ppf(0.999, runs, alpha)
