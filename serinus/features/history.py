"""One entity's past: parallel arrays in order of event time.

Appending in time order is the fast path; an event that comes out of order is
inserted where it belongs. Reading a window is two binary searches and one pass
over the slice. Sums are exact to the last bit (``math.fsum``) up to
``_EXACT`` events and pairwise beyond, so neither order nor age of the history
moves them.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right

import numpy as np

from serinus.contract.types import Aggregate

_EXACT = 512
_SLACK = 64


class History:
    """Events of one entity: when each happened, when it became known, and its values.

    A value is NaN where absent. ``label_at`` is kept (in microseconds, the time
    from which the label may be read) only where a feature reads the label.
    """

    __slots__ = ("arrivals", "columns", "label_at", "latest_arrival", "latest_label", "nulls", "times")

    def __init__(self, columns: int, labelled: bool) -> None:
        self.times = array("q")
        self.arrivals = array("q")
        self.columns = [array("d") for _ in range(columns)]
        self.nulls = [0] * columns
        self.label_at = array("q") if labelled else None
        self.latest_arrival = -(1 << 62)
        self.latest_label = -(1 << 62)

    def copy(self) -> History:
        """The same past, to be written to on its own."""
        twin = History(len(self.columns), False)
        twin.times, twin.arrivals = self.times[:], self.arrivals[:]
        twin.columns = [values[:] for values in self.columns]
        twin.nulls = self.nulls[:]
        twin.label_at = None if self.label_at is None else self.label_at[:]
        twin.latest_arrival, twin.latest_label = self.latest_arrival, self.latest_label
        return twin

    def add(self, time: int, arrival: int, values: tuple[float, ...]) -> None:
        """Insert an event, after others of the same time."""
        at = len(self.times)
        if at and self.times[-1] > time:
            at = bisect_right(self.times, time)
        self.times.insert(at, time)
        self.arrivals.insert(at, arrival)
        for index, value in enumerate(values):
            self.columns[index].insert(at, value)
            self.nulls[index] += value != value
        if self.label_at is not None:
            self.label_at.insert(at, time)
        if arrival > self.latest_arrival:
            self.latest_arrival = arrival

    def set_label(self, time: int, arrival: int, before: float, column: int, value: float, at: int) -> None:
        """Set the label of the event of that time, arrival and present label.

        Events equal in all three cannot be told apart, and need not be: every
        window holds both or neither, and both read the same.
        """
        values = self.columns[column]
        for index in range(bisect_left(self.times, time), bisect_right(self.times, time)):
            same = values[index] == before or (values[index] != values[index] and before != before)
            if self.arrivals[index] == arrival and same:
                self.nulls[column] += int(value != value) - int(before != before)
                values[index] = value
                if self.label_at is not None:
                    self.label_at[index] = at
                    self.latest_label = max(self.latest_label, at)
                return

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Positions of the events with time in ``[start, end)``."""
        low = bisect_left(self.times, start)
        return low, bisect_left(self.times, end, low)

    def count(self, low: int, high: int, now: int) -> float:
        """Events in the span that had arrived by ``now``."""
        if self.latest_arrival <= now:
            return float(high - low)
        return float(sum(arrival <= now for arrival in self.arrivals[low:high]))

    def values(self, column: int, low: int, high: int, now: int, label: bool) -> array[float]:
        """The present values of a column in the span, as known at ``now``."""
        values = self.columns[column][low:high]
        if self.latest_arrival > now:
            values = array("d", (v for v, a in zip(values, self.arrivals[low:high], strict=True) if a <= now))
        if label and self.label_at is not None and self.latest_label > now:
            known = self.label_at[low:high]
            if self.latest_arrival > now:
                known = [k for k, a in zip(known, self.arrivals[low:high], strict=True) if a <= now]
            values = array("d", (v for v, k in zip(values, known, strict=True) if k <= now))
        if self.nulls[column]:
            values = array("d", (v for v in values if v == v))
        return values

    def forget(self, before: int) -> int:
        """Drop events older than ``before`` once they are worth the move; how many were dropped."""
        if not self.times or self.times[0] >= before:
            return 0
        old = bisect_left(self.times, before)
        if old < _SLACK and old < len(self.times):
            return 0
        for index, values in enumerate(self.columns):
            self.nulls[index] -= absent(values[:old])
            del values[:old]
        for kept in (self.times, self.arrivals, self.label_at):
            if kept is not None:
                del kept[:old]
        return old


def absent(values: array[float]) -> int:
    """How many of the values are NaN."""
    return int(np.isnan(np.frombuffer(values)).sum()) if values else 0


def aggregate(kind: Aggregate, values: array[float]) -> float | None:
    """Sum, mean, min, max or sample standard deviation; None where undefined
    (``sum`` of nothing is 0; ``std`` needs two values)."""
    n = len(values)
    if kind == "sum":
        return _sum(values)
    if n == 0:
        return None
    if kind == "mean":
        return _sum(values) / n
    if kind == "min":
        return min(values)
    if kind == "max":
        return max(values)
    if n < 2:
        return None
    mean = _sum(values) / n
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))


def _sum(values: array[float]) -> float:
    return math.fsum(values) if len(values) <= _EXACT else float(np.frombuffer(values).sum())
