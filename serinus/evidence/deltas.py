"""From cumulative counters to disjoint batches: which units are new since the last scrape, in both arms alike.

A unit enters the evidence once or never. A source contributes to a batch only if the scrape before this one
and this one both read it, so that every source of a batch covers the same stretch of time: otherwise an incident
that hit both arms would be charged to the arm whose scrape came late. What cannot be read (NaN, a fraction, more
bad units than units, another number of edges) and what a restart makes unknowable is left out whole, units and
bad units together; it never counts as good or bad.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from .types import Counter, Sample

Ints = NDArray[np.int64]
Counts = tuple[int, ...]  # (n, bad...)
# metric → source → counts, one such table per arm
Arm = dict[str, dict[str, Counts]]
_LARGEST = 2.0**53  # above, a float no longer counts units one by one


@dataclass(frozen=True)
class Delta:
    """The new units of one metric, summed over the sources of each arm.

    ``complete`` says that no source was new, lost, reset or unreadable: only then do the arms' sizes say anything
    about routing.
    """

    n_stable: int
    n_canary: int
    bad_stable: Ints
    bad_canary: Ints
    complete: bool


def _counts(counter: Counter) -> Counts | None:
    values = (counter.n, *counter.bad)
    whole = []
    for value in values:
        if not math.isfinite(value) or value < 0 or value > _LARGEST or abs(value - round(value)) > 1e-6:
            return None
        whole.append(round(value))
    if len(whole) < 2 or any(bad > whole[0] for bad in whole[1:]):
        return None
    return tuple(whole)


def read_arm(sources: Mapping[str, Mapping[str, Counter]], metrics: set[str]) -> Arm:
    """The readable counters of an arm, of the metrics that a plan reads."""
    arm: Arm = {}
    for source, counters in sources.items():
        for metric, counter in counters.items():
            if metric in metrics and (counts := _counts(counter)) is not None:
                arm.setdefault(metric, {})[source] = counts
    return arm


def _restarted(before: Arm, now: Arm) -> set[str]:
    """Sources of which any counter went back: the process restarted, and all its counters with it."""
    gone = set()
    for metric, sources in now.items():
        earlier = before.get(metric, {})
        for source, counts in sources.items():
            old = earlier.get(source)
            if (
                old is not None
                and len(old) == len(counts)
                and any(new < past for new, past in zip(counts, old, strict=True))
            ):
                gone.add(source)
    return gone


def _sum(
    before: dict[str, Counts], now: dict[str, Counts], restarted: set[str], edges: int
) -> tuple[Ints, bool]:
    total = np.zeros(edges + 1, dtype=np.int64)
    complete = before.keys() == now.keys()
    for source, counts in now.items():
        old = before.get(source)
        if old is None or source in restarted or len(old) != len(counts) or len(counts) != edges + 1:
            complete = False
            continue
        delta = np.subtract(counts, old)
        if (delta[1:] > delta[0]).any():  # units and bad units were not read at the same instant
            complete = False
            continue
        total += delta
    return total, complete


def delta_of(metric: str, before: tuple[Arm, Arm], now: tuple[Arm, Arm], edges: int) -> Delta:
    """New units of one metric between two scrapes. ``before`` and ``now`` are (stable, canary)."""
    parts = [
        _sum(old.get(metric, {}), new.get(metric, {}), _restarted(old, new), edges)
        for old, new in zip(before, now, strict=True)
    ]
    (stable, whole_stable), (canary, whole_canary) = parts
    return Delta(
        n_stable=int(stable[0]),
        n_canary=int(canary[0]),
        bad_stable=stable[1:],
        bad_canary=canary[1:],
        complete=whole_stable and whole_canary,
    )


def edges_of(metric: str, arms: tuple[Arm, Arm]) -> int:
    """The number of edges that most sources agree on; 0 if none was read."""
    votes: dict[int, int] = {}
    for arm in arms:
        for counts in arm.get(metric, {}).values():
            votes[len(counts) - 1] = votes.get(len(counts) - 1, 0) + 1
    return max(votes, key=lambda edges: (votes[edges], edges)) if votes else 0


def read(sample: Sample, metrics: set[str]) -> tuple[Arm, Arm]:
    """(stable, canary) of a sample."""
    return read_arm(sample.stable, metrics), read_arm(sample.canary, metrics)


def carry(before: tuple[Arm, Arm], now: tuple[Arm, Arm]) -> tuple[Arm, Arm]:
    """The next baseline. A metric that no canary source gave this time keeps its old counters in both arms, so
    that the gap is bridged by one longer batch, the same for both, and no unit is lost."""
    held = {metric for metric in before[1] if metric not in now[1]}
    stable, canary = (
        {**{m: s for m, s in new.items() if m not in held}, **{m: s for m, s in old.items() if m in held}}
        for old, new in zip(before, now, strict=True)
    )
    return stable, canary


def pack(arms: tuple[Arm, Arm]) -> bytes:
    """Counters for the state: a few bytes each."""
    return zlib.compress(msgspec.msgpack.encode(arms), 1)


def unpack(blob: bytes) -> tuple[Arm, Arm]:
    """Inverse of ``pack``."""
    return msgspec.msgpack.decode(zlib.decompress(blob), type=tuple[Arm, Arm]) if blob else ({}, {})
