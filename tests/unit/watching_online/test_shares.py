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


@given(
    hits=st.integers(1, 399),
    windows=st.sampled_from([(4,), (3, 7), (5, 6, 11)]),
    smoothing=st.sampled_from([0.2, 0.9, 0.99, 1.0]),
    direction=st.sampled_from(["more", "fewer"]),
    seed=st.integers(0, 99),
)
def test_many_streams_at_once_are_each_what_the_monitor_computes_row_by_row(
    hits: int, windows: tuple[int, ...], smoothing: float, direction: fisher.Direction, seed: int
) -> None:
    plan = OnlinePlan(windows=windows, ert=2, streams=23, smoothing=smoothing)
    ones = np.random.default_rng(seed).random((plan.steps, plan.streams)) < hits / 400
    first, expected = windows[0], np.full((plan.steps - windows[0] + 1, plan.streams), -np.inf)
    for window in windows:
        values, state = fisher.table(hits, 400, window, direction), np.zeros(plan.streams, np.float32)
        for end in range(window, plan.steps + 1):
            now = values[ones[end - window : end].sum(axis=0)]
            state = now.astype(np.float32) if end == window else fisher.smooth(state, now, smoothing)
            expected[end - first] = np.maximum(expected[end - first], state)
    assert (fisher.statistics(ones, hits, 400, plan, direction) == expected).all()


@given(
    seed=st.integers(0, 999),
    levels=st.sampled_from([1, 2, 40, 10**6]),
    ert=st.sampled_from([1.5, 20.0, 300.0]),
)
def test_thresholds_are_quantiles_of_the_streams_that_still_run(seed: int, levels: int, ert: float) -> None:
    found = np.random.default_rng(seed).integers(0, levels, (6, 3000)).astype(np.float32)
    running, expected = np.arange(3000), list[float]()
    for row in found:
        expected.append(float(np.quantile(row[running], 1 - 1 / ert, method="higher")))
        running = running[row[running] <= expected[-1]]
    assert fisher.limits(found, ert).tolist() == expected
