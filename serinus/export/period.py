"""A reporting period as people write it: ``2026``, ``2026-Q3``, ``2026-07``, ``2026-07-01..2026-09-30``."""

from __future__ import annotations

import re
from datetime import date, timedelta

import msgspec

_YEAR = re.compile(r"(\d{4})")
_QUARTER = re.compile(r"(\d{4})-Q([1-4])")
_MONTH = re.compile(r"(\d{4})-(\d{2})")
_RANGE = re.compile(r"(\d{4}-\d{2}-\d{2})\.\.(\d{4}-\d{2}-\d{2})")


class Period(msgspec.Struct, frozen=True):
    """Days in UTC; ``start`` belongs to it, ``end`` does not. ``name`` is as it was given."""

    name: str
    start: date
    end: date

    def holds(self, time: str) -> bool:
        """Whether a time in RFC 3339, in UTC, falls into it."""
        return not self.is_ahead(time) and not self.is_over(time)

    def is_ahead(self, time: str) -> bool:
        """Whether it had not begun by then."""
        return time[:10] < self.start.isoformat()

    def is_over(self, time: str) -> bool:
        """Whether it had ended by then."""
        return time[:10] >= self.end.isoformat()


def parse_period(text: str) -> Period:
    """Read a period.

    Raises:
        ValueError: it is none; the message says what is expected.
    """
    try:
        if match := _YEAR.fullmatch(text):
            return Period(text, date(int(match[1]), 1, 1), date(int(match[1]) + 1, 1, 1))
        if match := _QUARTER.fullmatch(text):
            first = int(match[2]) * 3 - 2
            return Period(text, date(int(match[1]), first, 1), _month_after(int(match[1]), first + 2))
        if match := _MONTH.fullmatch(text):
            start = date(int(match[1]), int(match[2]), 1)
            return Period(text, start, _month_after(start.year, start.month))
        if match := _RANGE.fullmatch(text):
            start, last = date.fromisoformat(match[1]), date.fromisoformat(match[2])
            if last < start:
                raise ValueError(f"{last} is before {start}")
            return Period(text, start, last + timedelta(days=1))
    except ValueError as error:
        raise ValueError(f"{text} is no period: {error}") from None
    raise ValueError(f"{text} is no period; write 2026, 2026-Q3, 2026-07 or 2026-07-01..2026-09-30")


def _month_after(year: int, month: int) -> date:
    return date(year + month // 12, month % 12 + 1, 1)
