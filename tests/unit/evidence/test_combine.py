"""Blame, against the closed test written out over every set of guards."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.evidence import combine


@given(st.lists(st.tuples(st.floats(-5, 12), st.floats(0.1, 5)), min_size=1, max_size=6))
def test_the_adjusted_evidence_is_the_least_mean_over_all_sets(guards: list[tuple[float, float]]) -> None:
    logs, weights = [g[0] for g in guards], [g[1] for g in guards]
    ours = combine.adjusted(logs, weights)
    for i in range(len(guards)):
        rest = [k for k in range(len(guards)) if k != i]
        sets = [[i, *more] for size in range(len(rest) + 1) for more in combinations(rest, size)]
        least = min(combine.log_mean([logs[k] for k in s], [weights[k] for k in s]) for s in sets)
        assert ours[i] == pytest.approx(least, abs=1e-9)


def test_the_mean_is_weighted_and_does_not_overflow() -> None:
    assert combine.log_mean([0.0, np.log(9.0)], [3.0, 1.0]) == pytest.approx(np.log(3.0))
    assert combine.log_mean([5000.0, -5000.0], [1.0, 1.0]) == pytest.approx(5000 - np.log(2))
    assert combine.log_mean([], []) == 0.0


def test_the_worst_comes_first_and_the_innocent_are_not_named() -> None:
    assert combine.culprits([9.0, -2.0, 11.0, 0.0], [1, 1, 1, 1], np.log(100)) == [2, 0]
    assert combine.culprits([0.0, 0.0], [1, 1], np.log(100)) == []
