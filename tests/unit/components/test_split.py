"""Who trains, who chooses, who judges: the split's laws."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.config import Split
from components.split.split import assign
from components.table import TEST, TRAIN, UNUSED, VALIDATION
from serinus.contract import Column, Contract, Event, Label
from serinus.errors import SerinusError
from tests.unit.components.support import contract

DAY = 86_400_000_000


def dated(delay: str = "2d") -> Contract:
    base = contract()
    return msgspec.structs.replace(
        base,
        columns=base.columns | {"time": Column(type="timestamp")},
        event=Event(time="time"),
        label=Label(column="bad", positive="Y", delay=delay),
    )


def parts(codes: np.ndarray, time: np.ndarray) -> dict[int, tuple[int, int]]:
    return {
        code: (int(time[codes == code].min()), int(time[codes == code].max()))
        for code in (TRAIN, VALIDATION, TEST)
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(200, 800), st.integers(0, 5))
def test_parts_follow_each_other_in_time_with_the_gap_between_them(seed: int, rows: int, days: int) -> None:
    random = np.random.default_rng(seed)
    # Many rows of one moment, and an uneven density: both must not break the order.
    time = (np.sort(random.beta(2, 1, rows) * 100).astype(int) * DAY).astype(np.int64)
    outcome = (random.random(rows) < 0.3).astype(float)
    codes = assign(dated(f"{days}d"), Split(), outcome, time)
    spans = parts(codes, time)
    assert spans[VALIDATION][0] - spans[TRAIN][1] >= days * DAY
    assert spans[TEST][0] - spans[VALIDATION][1] >= days * DAY


def test_the_fractions_hold_for_the_rows_that_are_left() -> None:
    time = np.arange(10_000, dtype=np.int64) * (DAY // 100)
    codes = assign(dated(), Split(), np.tile([0.0, 1.0], 5_000), time)
    shares = np.bincount(codes, minlength=4)[1:] / (codes != UNUSED).sum()
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.01)
    assert (codes == UNUSED).sum() == pytest.approx(400, abs=10)  # two gaps of two days


def test_the_warm_up_is_left_out() -> None:
    time = np.arange(1_000, dtype=np.int64) * (DAY // 10)
    codes = assign(dated("0s"), Split(warmup="30d"), np.tile([0.0, 1.0], 500), time)
    assert (codes[:300] == UNUSED).all()
    assert (codes[301:] != UNUSED).all()


def test_a_configured_gap_takes_the_place_of_the_labels_delay() -> None:
    time = np.arange(1_000, dtype=np.int64) * (DAY // 10)
    codes = assign(dated("30d"), Split(gap="1d"), np.tile([0.0, 1.0], 500), time)
    assert (codes == UNUSED).sum() <= 25


def test_gaps_longer_than_the_records_are_refused_with_both_numbers() -> None:
    time = np.arange(1_000, dtype=np.int64) * (DAY // 100)
    with pytest.raises(SerinusError, match=r"9\.99d.*30d") as caught:
        assign(dated("30d"), Split(), np.tile([0.0, 1.0], 500), time)
    assert caught.value.code == "SRN-PIPELINE-032"


def test_without_a_time_the_split_is_random_repeatable_and_keeps_the_share_of_outcomes() -> None:
    outcome = (np.arange(2_000) % 10 == 0).astype(float)
    codes = assign(contract(), Split(), outcome, None)
    assert (codes == assign(contract(), Split(), outcome, None)).all()
    assert not (codes == assign(contract(), Split(seed=8), outcome, None)).all()
    for code in (TRAIN, VALIDATION, TEST):
        assert outcome[codes == code].mean() == pytest.approx(0.1, abs=0.002)


def test_rows_without_an_outcome_are_used_nowhere() -> None:
    outcome = np.tile([0.0, 1.0, np.nan], 300)
    codes = assign(contract(), Split(), outcome, None)
    assert (codes[np.isnan(outcome)] == UNUSED).all()
    assert (codes[np.isfinite(outcome)] != UNUSED).all()


def test_records_without_any_outcome_are_refused() -> None:
    with pytest.raises(SerinusError) as caught:
        assign(contract(), Split(), np.full(100, np.nan), None)
    assert caught.value.code == "SRN-PIPELINE-031"
