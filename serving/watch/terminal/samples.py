"""Samples of one moment, and what counters did between two moments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Sample(NamedTuple):
    """One series at one moment."""

    name: str
    labels: Mapping[str, str]
    value: float


class Samples:
    """What was read at one moment.

    Args:
        samples: as read; ``instance`` names the program that each came from.
        at: seconds since the epoch.
        asked: the programs that were asked; empty where that is not known.
    """

    def __init__(self, samples: Iterable[Sample], at: float, asked: frozenset[str] = frozenset()) -> None:
        self.at = at
        self.asked = asked
        self._by_name: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            self._by_name[sample.name].append(sample)

    def of(self, name: str, **wanted: str) -> list[Sample]:
        """The series of that name with these labels."""
        return [
            sample
            for sample in self._by_name.get(name, ())
            if all(sample.labels.get(label) == value for label, value in wanted.items())
        ]

    def one(self, name: str, **wanted: str) -> float | None:
        """The largest value of those series; None where there is none, or none is a number."""
        values = [s.value for s in self.of(name, **wanted) if s.value == s.value]
        return max(values, default=None)

    def values(self, label: str, name: str, **wanted: str) -> list[str]:
        """The different values of a label among those series, in order."""
        return sorted({s.labels[label] for s in self.of(name, **wanted) if label in s.labels})

    def parted(self, label: str) -> dict[str, Samples]:
        """The samples by the value of a label; those without it are in none."""
        parts: dict[str, list[Sample]] = defaultdict(list)
        for samples in self._by_name.values():
            for sample in samples:
                if label in sample.labels:
                    parts[sample.labels[label]].append(sample)
        return {value: Samples(samples, self.at, self.asked) for value, samples in parts.items()}

    def __len__(self) -> int:
        return sum(map(len, self._by_name.values()))


def increase(
    now: Samples, before: Samples | None, name: str, by: Sequence[str], **wanted: str
) -> dict[tuple[str, ...], float] | None:
    """How far counters went, summed by labels; None where there is nothing to compare with.

    A counter that fell was restarted at 0. One that was not there before counts whole if its
    program was, as a first error does, or if nobody knew of the program, which began since;
    of a program that did not answer then, it says nothing yet.
    """
    series = now.of(name, **wanted)
    if before is None or not series:
        return None
    then = {_key(sample): sample.value for sample in before.of(name, **wanted)}
    programs = {sample.labels.get("instance") for sample in before.of(name)}
    found: dict[tuple[str, ...], float] = defaultdict(float)
    compared = False
    for sample in series:
        program = sample.labels.get("instance")
        if program not in programs and (not before.asked or program in before.asked):
            continue
        compared = True
        earlier = then.get(_key(sample), 0.0)
        grown = sample.value - earlier if sample.value >= earlier else sample.value
        found[tuple(sample.labels.get(label, "") for label in by)] += grown
    return dict(found) if compared else None


def quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """A quantile of a classic histogram, as PromQL's ``histogram_quantile``; None of no observation.

    Args:
        buckets: upper edge to the number of observations at or below it; infinity among them.
    """
    edges = sorted(buckets)
    total = buckets.get(float("inf"), 0.0)
    if total <= 0:
        return None
    rank, low, below = q * total, 0.0, 0.0
    for edge in edges:
        if buckets[edge] >= rank:
            if edge == float("inf"):
                return low
            inside = buckets[edge] - below
            return edge if inside <= 0 else low + (edge - low) * (rank - below) / inside
        low, below = edge, buckets[edge]
    return low


def _key(sample: Sample) -> frozenset[tuple[str, str]]:
    return frozenset(sample.labels.items())
