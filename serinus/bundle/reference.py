"""What the data looked like at training, binned: the yardstick of drift."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.contract import Contract
from serinus.model.levels import Levels

Floats = NDArray[np.float64]


class Histogram(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts of one feature.

    ``number``: ``counts[i]`` values lie in bin i of ``len(edges) + 1``; a value on
    an edge belongs to the bin above it. ``category``: ``counts[i]`` values are
    ``levels[i]``. Missing values are counted apart.
    """

    kind: Literal["number", "category"]
    edges: tuple[float, ...]
    levels: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int

    def count(self, values: Floats) -> tuple[NDArray[np.int64], int]:
        """Counts of encoded values in these bins, and how many were missing."""
        present = values[~np.isnan(values)]
        size = len(self.counts)
        if self.kind == "category":
            codes = present.astype(np.int64)
        else:
            codes = np.searchsorted(np.asarray(self.edges), present, side="right").astype(np.int64)
        return np.bincount(codes, minlength=size)[:size].astype(np.int64), int(values.size - present.size)


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Histograms of every feature and of the calibrated score at training."""

    features: dict[str, Histogram]
    score: Histogram


def _number(values: Floats, bins: int) -> Histogram:
    present = values[~np.isnan(values)]
    # Quantile edges; ties (a zero-inflated amount) collapse into fewer bins.
    quantiles = np.quantile(present, np.linspace(0, 1, bins + 1)[1:-1]) if present.size else np.array([])
    edges = np.unique(quantiles)
    shape = Histogram("number", tuple(edges.tolist()), (), (0,) * (edges.size + 1), 0)
    counts, missing = shape.count(values)
    return msgspec.structs.replace(shape, counts=tuple(counts.tolist()), missing=missing)


def _category(values: Floats, levels: tuple[str, ...]) -> Histogram:
    shape = Histogram("category", (), levels, (0,) * len(levels), 0)
    counts, missing = shape.count(values)
    return msgspec.structs.replace(shape, counts=tuple(counts.tolist()), missing=missing)


def build_reference(
    contract: Contract, levels: Levels, rows: Floats, scores: Floats, bins: int = 10
) -> Reference:
    """Histograms of encoded rows (n, F) and calibrated scores (n,), in ``bins`` quantile bins."""
    features = {
        name: _category(rows[:, i], levels[name]) if name in levels else _number(rows[:, i], bins)
        for i, name in enumerate(contract.feature_names)
    }
    return Reference(features, _number(scores, bins))
