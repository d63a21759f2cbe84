"""An ensemble of decision trees as flat arrays: what every model of trees is turned into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

CATEGORICAL = 1
"""Flag: the threshold is the number of a category set; a level in it goes left, all else right."""
DEFAULT_LEFT = 2
"""Flag: a missing value goes left, not right."""
MISSING_ZERO = 4
"""Flag: zero and NaN are missing."""
MISSING_NAN = 8
"""Flag: NaN is missing. With neither flag NaN counts as zero."""
AS_FLOAT = 16
"""Flag: the value is rounded to float32 before it is compared, as scikit-learn does."""


@dataclass(frozen=True)
class Trees:
    """Trees one after another; n nodes in all. A number at most the threshold goes left.

    Attributes:
        features: values in a row.
        start: (trees + 1,) int64, where each tree begins; its first node is its root.
        feature: (n,) int32, what a split reads.
        threshold: (n,) float64; of a categorical split the number of its set.
        flags: (n,) uint8, of a split, as above; the low four bits are LightGBM's decision_type.
        left, right: (n,) int32, children by position within their tree; -1 in a leaf.
        value: (n,) float64, of a leaf: what it adds to the margin.
        cover: (n,) float64, training rows (or their weight) at the node, for explanations.
        set_start: (sets + 1,) int64, where each category set begins among the words.
        set_words: uint32, 32 levels each, the lowest bit first.
    """

    features: int
    start: NDArray[np.int64]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    flags: NDArray[np.uint8]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float64]
    cover: NDArray[np.float64]
    set_start: NDArray[np.int64]
    set_words: NDArray[np.uint32]

    @property
    def count(self) -> int:
        """Number of trees."""
        return self.start.size - 1

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name, contiguous: what ``_native.Forest`` takes."""
        return {
            field.name: np.ascontiguousarray(getattr(self, field.name))
            for field in fields(self)
            if field.name != "features"
        }

    def check(self) -> None:
        """Raise ValueError unless every tree is one: whole, without cycles, reading what exists."""
        sizes = np.diff(self.start)
        if self.start[0] != 0 or (sizes < 1).any() or self.start[-1] != self.feature.size:
            raise ValueError("the trees do not cover the nodes")
        inner = (self.left != -1) | (self.right != -1)
        root = np.repeat(self.start[:-1], sizes)
        size = np.repeat(sizes, sizes)
        parent = np.arange(self.feature.size)
        for side in (self.left, self.right):
            if ((side < 1) | (side >= size))[inner].any():
                raise ValueError("a child lies outside its tree")
            parent[(root + side)[inner]] = np.flatnonzero(inner)
        children = np.concatenate([(root + self.left)[inner], (root + self.right)[inner]])
        if np.unique(children).size != children.size:
            raise ValueError("a node has two parents")
        for _ in range(int(self.feature.size).bit_length()):
            parent = parent[parent]
        if not np.array_equal(parent, root):
            raise ValueError("a node does not hang on its tree's root")
        if ((self.feature < 0) | (self.feature >= self.features))[inner].any():
            raise ValueError("a split reads a feature that does not exist")
        if np.isnan(self.threshold[inner]).any():
            raise ValueError("a split has no threshold")
        by_set = inner & ((self.flags & CATEGORICAL) > 0)
        sets = self.threshold[by_set]
        if ((sets < 0) | (sets >= self.set_start.size - 1) | (sets != np.floor(sets))).any():
            raise ValueError("a split reads a category set that does not exist")
        bounds = self.set_start
        if bounds[0] != 0 or (np.diff(bounds) < 0).any() or bounds[-1] != self.set_words.size:
            raise ValueError("category sets lie outside their words")

    @staticmethod
    def leaf(value: float) -> Trees:
        """A tree that always says ``value``."""
        return _EMPTY.joined(1, value=np.array([value]))

    def joined(self, nodes: int, **given: NDArray[Any]) -> Trees:
        """Nodes that are leaves of value 0 and cover 1, but for what is given."""
        blank: dict[str, Any] = {
            "start": np.array([0, nodes], dtype=np.int64),
            "feature": np.zeros(nodes, dtype=np.int32),
            "threshold": np.zeros(nodes),
            "flags": np.zeros(nodes, dtype=np.uint8),
            "left": np.full(nodes, -1, dtype=np.int32),
            "right": np.full(nodes, -1, dtype=np.int32),
            "value": np.zeros(nodes),
            "cover": np.ones(nodes),
            "set_start": np.zeros(1, dtype=np.int64),
            "set_words": np.zeros(0, dtype=np.uint32),
        }
        return Trees(features=self.features, **(blank | given))

    @staticmethod
    def join(features: int, parts: Sequence[Trees]) -> Trees:
        """The trees of all parts, in order."""
        if not parts:
            return Trees(features=features, **_EMPTY.arrays())
        starts, sets, thresholds = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)], list[NDArray[Any]]()
        nodes = words = known = 0
        for part in parts:
            starts.append(part.start[1:] + nodes)
            sets.append(part.set_start[1:] + words)
            by_set = (part.flags & CATEGORICAL) > 0
            thresholds.append(part.threshold + known * by_set if known and by_set.any() else part.threshold)
            nodes += int(part.start[-1])
            words += part.set_words.size
            known += part.set_start.size - 1
        return Trees(
            features=features,
            start=np.concatenate(starts),
            threshold=np.concatenate(thresholds),
            set_start=np.concatenate(sets),
            **{
                name: np.concatenate([getattr(part, name) for part in parts])
                for name in ("feature", "flags", "left", "right", "value", "cover", "set_words")
            },
        )


_EMPTY = Trees(
    features=0,
    start=np.zeros(1, dtype=np.int64),
    feature=np.zeros(0, dtype=np.int32),
    threshold=np.zeros(0),
    flags=np.zeros(0, dtype=np.uint8),
    left=np.zeros(0, dtype=np.int32),
    right=np.zeros(0, dtype=np.int32),
    value=np.zeros(0),
    cover=np.zeros(0),
    set_start=np.zeros(1, dtype=np.int64),
    set_words=np.zeros(0, dtype=np.uint32),
)
