"""Periods as people write them."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.export import parse_period


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026", "2026-01-01", "2027-01-01"),
        ("2026-Q1", "2026-01-01", "2026-04-01"),
        ("2026-Q4", "2026-10-01", "2027-01-01"),
        ("2026-02", "2026-02-01", "2026-03-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2026-07-01..2026-09-30", "2026-07-01", "2026-10-01"),
        ("2028-02-29..2028-02-29", "2028-02-29", "2028-03-01"),
    ],
)
def test_a_period_has_a_first_day_and_a_day_after_its_last(text: str, start: str, end: str) -> None:
    period = parse_period(text)
    assert (period.start.isoformat(), period.end.isoformat()) == (start, end)


@pytest.mark.parametrize(
    "text",
    ["", "26", "2026-Q5", "2026-13", "2026-00", "0000", "2026-02-30..2026-03-01", "2026-05-02..2026-05-01"],
)
def test_what_is_no_period_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is no period"):
        parse_period(text)


@given(st.dates(date(1990, 1, 1), date(2090, 12, 31)))
def test_quarters_and_months_cover_each_day_once(day: date) -> None:
    time = f"{day.isoformat()}T23:59:59.999999Z"
    quarters = [parse_period(f"{day.year}-Q{n}") for n in range(1, 5)]
    months = [parse_period(f"{day.year}-{n:02d}") for n in range(1, 13)]
    assert sum(period.holds(time) for period in quarters) == 1
    assert sum(period.holds(time) for period in months) == 1
    assert all(a.end == b.start for a, b in pairwise(months))
    assert parse_period(f"{day}..{day}").end == day + timedelta(days=1)
