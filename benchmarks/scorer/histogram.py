"""Latencies in buckets of equal relative width, as HdrHistogram keeps them: small, mergeable, 1 % exact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

_WIDTH = np.log(1.01)


def buckets(nanoseconds: NDArray[np.int64]) -> dict[str, int]:
    """Counts by bucket; the bucket k holds latencies in [1.01^k, 1.01^(k+1)) ns."""
    if nanoseconds.size == 0:
        return {}
    keys, counts = np.unique(
        np.floor(np.log(np.maximum(nanoseconds, 1)) / _WIDTH).astype(int), return_counts=True
    )
    return {str(k): int(c) for k, c in zip(keys, counts, strict=True)}


def merge(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of several histograms."""
    out: dict[str, int] = {}
    for part in parts:
        for key, count in part.items():
            out[key] = out.get(key, 0) + count
    return out


def quantile(histogram: Mapping[str, int], q: float) -> float:
    """The latency in ms that a share q of the requests did not exceed (upper edge of its bucket); NaN if empty."""
    total = sum(histogram.values())
    seen = 0
    for key in sorted(histogram, key=int):
        seen += histogram[key]
        if seen >= q * total:
            return float(np.exp((int(key) + 1) * _WIDTH)) / 1e6
    return float("nan")
