"""The online Cramer-von Mises test: its statistic from whole numbers, and thresholds that hold their run length."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.errors import SerinusError
from serinus.watching.online import OnlinePlan, cvm
from serinus.watching.online.calibrate import shelf

PLAN = OnlinePlan(reference=60, windows=(5, 20), ert=100, streams=4000)


def by_definition(reference: np.ndarray, window: np.ndarray) -> float:
    """Sum of squared differences of the two empirical laws over all values, standardised (Anderson 1962)."""
    both = np.concatenate([reference, window])
    f = (reference[None] <= both[:, None]).mean(axis=1)
    g = (window[None] <= both[:, None]).mean(axis=1)
    n, m = len(reference), len(window)
    t = n * m / (n + m) ** 2 * ((f - g) ** 2).sum()
    mean = 1 / 6 + 1 / (6 * (n + m))
    variance = (n + m + 1) * (4 * n * m * (n + m) - 3 * (n * n + m * m) - 2 * n * m)
    return float((t - mean) / np.sqrt(variance / (45 * (n + m) ** 2 * 4 * n * m)))


@given(n=st.integers(2, 40), rows=st.integers(8, 30), seed=st.integers(0, 10_000))
def test_ranks_alone_give_the_statistic(n: int, rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    reference, stream = np.sort(random.normal(size=n)), random.normal(0.5, 2, size=rows)
    ranks = np.searchsorted(reference, stream, side="right")
    found = cvm.statistics(ranks.astype(np.int32)[:, None], n, (3, 8))[:, 0]
    for i, value in enumerate(found):
        last = i + 3
        expected = [by_definition(reference, stream[last - m : last]) for m in (3, 8) if last >= m]
        assert value == pytest.approx(max(expected), rel=1e-9, abs=1e-9)
        single = [cvm.statistic(ranks[last - m : last], n) for m in (3, 8) if last >= m]
        assert max(single) == pytest.approx(value, rel=1e-12, abs=1e-12)


def crossings(thresholds: np.ndarray, plan: OnlinePlan, seed: int) -> tuple[int, int]:
    """How many fresh streams cross, and how many rows the streams were watched for until then."""
    stopped = watched = 0
    for piece in cvm.simulate(plan, seed):
        over = piece > thresholds[:, None]
        first = np.where(over.any(axis=0), over.argmax(axis=0) + 1, len(over))
        stopped += int(over.any(axis=0).sum())
        watched += int(first.sum())
    return stopped, watched


def test_fresh_streams_without_drift_run_as_long_as_expected() -> None:
    limits = np.array(cvm.configure(PLAN))
    stopped, watched = crossings(limits, PLAN, seed=1)
    assert watched / stopped == pytest.approx(PLAN.ert, rel=0.12)


def test_the_thresholds_at_hand_are_those_of_the_default_plan_and_hold_its_run_length() -> None:
    assert shelf().plan == OnlinePlan()
    assert len(shelf().cvm) == OnlinePlan().steps - OnlinePlan().windows[0] + 1
    fresh = msgspec.structs.replace(OnlinePlan(), ert=2000.0, streams=20_000)
    stopped, watched = crossings(np.array(shelf().cvm), fresh, seed=1)
    expected = watched / OnlinePlan().ert
    assert expected > 300
    assert stopped == pytest.approx(expected, rel=0.25)


def test_the_last_threshold_is_an_average_of_those_it_stands_for() -> None:
    limits = np.arange(10.0)
    assert cvm.settled(limits, 4).tolist() == [*range(9), 8.5]


@pytest.mark.parametrize(
    "change",
    [{"windows": ()}, {"windows": (20, 5)}, {"windows": (5, 5)}, {"windows": (1, 5)}, {"streams": 999}],
)
def test_a_plan_that_cannot_be_meant_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(SerinusError) as caught:
        OnlinePlan(**({"windows": (5, 20), "ert": 100, "streams": 1000} | change))  # pyright: ignore[reportArgumentType]
    assert caught.value.code == "SRN-WATCHING-007"
