"""From cumulative counters to disjoint batches: which units are new since the last scrape, in both arms
alike.

A unit enters the evidence once or never. A source contributes to a batch only if the scrape before this one
and this one both read it, so that every source of a batch covers the same stretch of time: otherwise an
incident that hit both arms would be charged to the arm whose scrape came late. What cannot be read (NaN, a
fraction, more bad units than units, another number of edges) and what a restart makes unknowable is left
out whole, units and bad units together; it never counts as good or bad.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from .types import Sample

Ints = NDArray[np.int64]
Key = tuple[bool, str, str]  # (is canary, metric, source)
_LARGEST = 2.0**53  # above, a float no longer counts units one by one


@dataclass(frozen=True)
class Counters:
    """Readable counters of one scrape, laid end to end: n, then the units above each edge.

    ``spans`` maps a key to its half-open slice of ``values``.
    """

    spans: dict[Key, tuple[int, int]]
    values: Ints


@dataclass(frozen=True)
class Delta:
    """The new units of one metric, summed over the sources of each arm.

    ``complete`` says that no source was new, lost, reset or unreadable: only then do the arms' sizes say
    anything about routing.
    """

    n_stable: int
    n_canary: int
    bad_stable: Ints
    bad_canary: Ints
    complete: bool


NOTHING = Counters({}, np.zeros(0, dtype=np.int64))


def _lay(parts: Iterable[tuple[Key, Ints]]) -> Counters:
    spans: dict[Key, tuple[int, int]] = {}
    pieces, at = [], 0
    for key, piece in parts:
        spans[key] = (at, at + len(piece))
        pieces.append(piece)
        at += len(piece)
    return Counters(spans, np.concatenate(pieces) if pieces else NOTHING.values)


def read(sample: Sample, metrics: set[str]) -> Counters:
    """The counters of a sample that can be read, of the metrics that a plan reads."""
    keys: list[Key] = []
    flat: list[float] = []
    starts: list[int] = []
    for is_canary, arm in ((False, sample.stable), (True, sample.canary)):
        for source, counters in arm.items():
            for metric, counter in counters.items():
                if metric in metrics and counter.bad:
                    keys.append((is_canary, metric, source))
                    starts.append(len(flat))
                    flat.append(counter.n)
                    flat.extend(counter.bad)
    if not keys:
        return NOTHING
    raw = np.array(flat, dtype=np.float64)
    first = np.array(starts)
    lengths = np.diff(first, append=len(raw))
    with np.errstate(invalid="ignore"):
        whole = np.rint(raw)
        fine = np.isfinite(raw) & (raw >= 0) & (raw <= _LARGEST) & (np.abs(raw - whole) <= 1e-6)
        fine &= raw <= np.repeat(raw[first], lengths)
    readable = np.logical_and.reduceat(fine, first)
    values = np.where(np.isfinite(whole), whole, 0).astype(np.int64)
    ends = first + lengths
    if readable.all():
        spans = {key: (int(a), int(b)) for key, a, b in zip(keys, first, ends, strict=True)}
        return Counters(spans, values)
    return _lay((keys[i], values[first[i] : ends[i]]) for i in np.flatnonzero(readable))


def deltas_of(before: Counters, now: Counters, edges: dict[str, int]) -> dict[str, Delta]:
    """New units between two scrapes, of each metric, given the number of edges that its evidence has."""
    shared = [
        (key, span, before.spans[key])
        for key, span in now.spans.items()
        if key in before.spans
        and span[1] - span[0] == before.spans[key][1] - before.spans[key][0] == edges.get(key[1], -1) + 1
    ]
    sums = {
        (is_canary, metric): np.zeros(size + 1, dtype=np.int64)
        for metric, size in edges.items()
        for is_canary in (False, True)
    }
    whole = dict.fromkeys(edges, True)
    for key in now.spans.keys() ^ before.spans.keys():
        whole[key[1]] = False
    if shared:
        new = np.concatenate([now.values[a:b] for _, (a, b), _ in shared])
        old = np.concatenate([before.values[a:b] for _, _, (a, b) in shared])
        step = new - old
        first = np.cumsum([0, *(b - a for _, (a, b), _ in shared)])[:-1]
        lengths = np.diff(first, append=len(step))
        back = np.minimum.reduceat(step, first) < 0
        # Units and bad units were not read at the same instant if there are more new bad units than new
        # units.
        torn = np.maximum.reduceat(step - np.repeat(step[first], lengths), first) > 0
        # One counter that went back tells that the process restarted, and all its counters with it.
        restarted = {(shared[i][0][0], shared[i][0][2]) for i in np.flatnonzero(back)}
        for i, (key, _, _) in enumerate(shared):
            if torn[i] or (key[0], key[2]) in restarted:
                whole[key[1]] = False
            else:
                sums[key[0], key[1]] += step[first[i] : first[i] + lengths[i]]
    return {
        metric: Delta(
            n_stable=int(sums[False, metric][0]),
            n_canary=int(sums[True, metric][0]),
            bad_stable=sums[False, metric][1:],
            bad_canary=sums[True, metric][1:],
            complete=whole[metric],
        )
        for metric in edges
    }


def edges_of(metric: str, now: Counters) -> int:
    """The number of edges that most sources agree on; 0 if none was read."""
    votes: dict[int, int] = {}
    for (_, name, _), (a, b) in now.spans.items():
        if name == metric:
            votes[b - a - 1] = votes.get(b - a - 1, 0) + 1
    return max(votes, key=lambda edges: (votes[edges], edges)) if votes else 0


def carry(before: Counters, now: Counters) -> Counters:
    """The next baseline. A metric that no canary source gave this time keeps its old counters in both arms,
    so that the gap is bridged by one longer batch, the same for both, and no unit is lost."""
    given = {metric for is_canary, metric, _ in now.spans if is_canary}
    held = {metric for is_canary, metric, _ in before.spans if is_canary} - given
    if not held:
        return now
    kept = [(key, now.values[a:b]) for key, (a, b) in now.spans.items() if key[1] not in held]
    kept += [(key, before.values[a:b]) for key, (a, b) in before.spans.items() if key[1] in held]
    return _lay(kept)


def pack(counters: Counters) -> bytes:
    """Counters for the state: a few bytes each."""
    wide = counters.values.max(initial=0) >= 2**31
    # Neighbouring buckets differ by little: their differences compress, the counts themselves do not.
    steps = np.diff(counters.values, prepend=0).astype("<i8" if wide else "<i4")
    planes = (
        steps.view(np.uint8).reshape(len(steps), -1).T
    )  # byte planes: the high bytes are nearly all alike
    keys = [(*key, b - a) for key, (a, b) in counters.spans.items()]
    return zlib.compress(msgspec.msgpack.encode((keys, bool(wide), planes.tobytes())), 1)


def unpack(blob: bytes) -> Counters:
    """Inverse of ``pack``."""
    if not blob:
        return NOTHING
    keys, wide, planes = msgspec.msgpack.decode(
        zlib.decompress(blob), type=tuple[list[tuple[bool, str, str, int]], bool, bytes]
    )
    size = 8 if wide else 4
    steps = np.frombuffer(planes, dtype=np.uint8).reshape(size, -1).T.copy().view(f"<i{size}")[:, 0]
    values = np.cumsum(steps, dtype=np.int64)
    spans, at = {}, 0
    for is_canary, metric, source, length in keys:
        spans[is_canary, metric, source] = (at, at + length)
        at += length
    return Counters(spans, values)
