"""The online Fisher test: its table against scipy's hypergeometric law, and thresholds that hold their run length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from serinus.watching.online import OnlinePlan, fisher

PLAN = OnlinePlan(windows=(10, 40), ert=100, streams=4000)


@given(rows=st.integers(1, 300), share=st.floats(0, 1), window=st.integers(2, 50))
def test_the_table_is_one_less_fishers_p_value(rows: int, share: float, window: int) -> None:
    hits = round(rows * share)
    k = np.arange(window + 1)
    more = 1 - hypergeom.cdf(hits, rows + window, hits + k, rows)
    fewer = 1 - hypergeom.cdf(k, rows + window, hits + k, window)
    assert fisher.table(hits, rows, window, "more") == pytest.approx(more, abs=1e-9)
    assert fisher.table(hits, rows, window, "fewer") == pytest.approx(fewer, abs=1e-9)


@pytest.mark.parametrize("hits", [30, 200, 700])
@pytest.mark.parametrize("direction", ["more", "fewer"])
def test_fresh_streams_run_at_least_as_long_as_expected(hits: int, direction: fisher.Direction) -> None:
    limits = dict(zip(("more", "fewer"), fisher.thresholds(hits, 1000, PLAN), strict=True))[direction]
    ones = np.random.default_rng(5).random((PLAN.steps, PLAN.streams)) < hits / 1000
    over = fisher.statistics(ones, hits, 1000, PLAN, direction) > limits[:, None]
    first = np.where(over.any(axis=0), over.argmax(axis=0) + 1, len(over))
    stopped = int(over.any(axis=0).sum())
    assert first.sum() / max(stopped, 1) > 0.85 * PLAN.ert


def test_a_doubled_share_is_found_and_only_in_its_direction() -> None:
    more, fewer = fisher.thresholds(200, 1000, PLAN)
    ones = np.random.default_rng(5).random((PLAN.steps, 400)) < 0.4
    assert (fisher.statistics(ones, 200, 1000, PLAN, "more") > more[:, None]).any(axis=0).mean() > 0.9
    assert (fisher.statistics(ones, 200, 1000, PLAN, "fewer") > fewer[:, None]).any(axis=0).mean() < 0.1
