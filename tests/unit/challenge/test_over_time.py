"""The score over time: by month where there are three, else by week; a shift stands out, chance does not."""

from __future__ import annotations

import numpy as np
import pytest

from components.challenge.overtime import over_time


def times(first: str, days: int, per_day: int) -> np.ndarray:
    start = np.datetime64(first, "us").astype(np.int64)
    return start + (np.arange(days * per_day) * (86_400_000_000 // per_day))


def scores(rows: int, shift: float = 0.0) -> np.ndarray:
    return 1 / (1 + np.exp(-np.random.default_rng(rows).normal(shift, 1, rows)))


REFERENCE = scores(20_000)


@pytest.mark.parametrize(
    ("first", "days", "unit", "periods"),
    [
        ("2026-01-01", 90, "month", ["2026-01", "2026-02", "2026-03"]),
        ("2026-01-31", 30, "month", ["2026-01", "2026-02", "2026-03"]),
        ("2026-05-04", 14, "week", ["2026-05-04", "2026-05-11"]),
        ("2026-05-10", 2, "week", ["2026-05-04", "2026-05-11"]),
    ],
)
def test_periods_are_calendar_months_or_weeks_from_monday(
    first: str, days: int, unit: str, periods: list[str]
) -> None:
    time = times(first, days, 200)
    found = over_time(REFERENCE, scores(time.size), time)
    assert [row["period"] for row in found] == periods
    assert {row["unit"] for row in found} == {unit}
    assert sum(row["rows"] for row in found) == time.size


def test_a_month_that_shifts_stands_out_and_the_others_do_not() -> None:
    time = times("2026-01-01", 90, 100)
    moved = scores(time.size)
    february = (time >= times("2026-02-01", 1, 1)[0]) & (time < times("2026-03-01", 1, 1)[0])
    moved[february] = scores(int(february.sum()), shift=1.0)
    january, shifted, march = over_time(REFERENCE, moved, time)
    assert shifted["low"] > 0.25
    for calm in (january, march):
        assert calm["psi"] < calm["chance"]


def test_too_few_rows_and_no_time_are_left_out() -> None:
    time = times("2026-05-04", 14, 20)
    time = np.concatenate([time[:50], time[-140:]])
    assert [row["period"] for row in over_time(REFERENCE, scores(time.size), time)] == ["2026-05-11"]
    assert over_time(REFERENCE, scores(10), None) == []
    assert over_time(np.full(10, np.nan), scores(500), times("2026-05-04", 5, 100)) == []
