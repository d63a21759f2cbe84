"""Trees scored and explained in numpy: slow, exact, and independent of the compiled kernel.

The fallback where the kernel is not compiled or cannot hold a model of trees that no
library of ours reads, and the yardstick that the kernel is held to for such models.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serinus.model.portable import Link
from serinus.model.trees import AS_FLOAT, CATEGORICAL, DEFAULT_LEFT, MISSING_NAN, MISSING_ZERO, Trees

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_CHUNK = 1 << 22


class PlainTrees:
    """An ``Ensemble`` in numpy.

    Contributions are path-dependent Shapley values by their definition: in a leaf
    whose path asks d distinct features, feature i gets ``v (o_i - r_i) * sum over S of
    |S|! (d - |S| - 1)! / d! * prod_{j in S} o_j prod_{j not in S} r_j``, where o is whether the
    row satisfies all of the path's splits on the feature and r the share of training rows
    that do (Lundberg et al. 2020; the sum by polynomial coefficients).
    """

    backend: Literal["native", "library"] = "library"

    def __init__(self, trees: Trees, link: Link) -> None:
        self._trees, self._link = trees, link
        self.features, self.trees = trees.features, trees.count
        root = np.repeat(trees.start[:-1], np.diff(trees.start))
        self._left = np.where(trees.left >= 0, root + trees.left, -1)
        self._right = np.where(trees.right >= 0, root + trees.right, -1)
        self._leaf = self._left < 0
        self._depth = self._levels()
        self._paths = list(self._grouped())

    def probability_of(self, row: Floats, /) -> float:
        """As ``Ensemble``."""
        return float(self.probability(row.reshape(1, -1))[0])

    def probability(self, rows: Floats) -> Floats:
        """As ``Ensemble``."""
        margin = np.zeros(rows.shape[0])
        # Tree by tree, so that a row's sum does not depend on the others.
        for start in self._trees.start[:-1].tolist():
            at = np.full(rows.shape[0], start)
            while not self._leaf[at].all():
                inner = ~self._leaf[at]
                go = self._goes_left(rows[inner], at[inner])
                at[inner] = np.where(go, self._left[at[inner]], self._right[at[inner]])
            margin += self._trees.value[at]
        return margin if self._link == "identity" else 1.0 / (1.0 + np.exp(-margin))

    def contributions_of(self, row: Floats, /) -> list[float]:
        """As ``Ensemble``."""
        return self.contributions(row.reshape(1, -1))[0].tolist()

    def contributions(self, rows: Floats) -> Floats:
        """As ``Ensemble``."""
        out = np.zeros((rows.shape[0], self.features + 1))
        single = self._trees.start[:-1]
        out[:, -1] = float(self._trees.value[single[self._leaf[single]]].sum())
        for row, sums in zip(rows, out, strict=True):
            nodes = np.flatnonzero(~self._leaf)
            left = np.zeros(self._leaf.size, dtype=bool)
            left[nodes] = self._goes_left(np.broadcast_to(row, (nodes.size, row.size)), nodes)
            for group in self._paths:
                group.add(left, sums)
        return out

    # --- the structure, prepared once ----------------------------------------

    def _goes_left(self, rows: Floats, nodes: Ints) -> NDArray[np.bool_]:
        trees = self._trees
        flags, threshold = trees.flags[nodes], trees.threshold[nodes]
        value = rows[np.arange(nodes.size), trees.feature[nodes]]
        value = np.where((flags & AS_FLOAT) > 0, value.astype(np.float32).astype(np.float64), value)
        absent = np.isnan(value)
        missing = ((flags & MISSING_NAN) > 0) & absent
        missing |= ((flags & MISSING_ZERO) > 0) & (absent | (np.abs(value) <= 1e-35))
        number = np.where(absent, 0.0, value)
        left = number <= threshold
        by_set = (flags & CATEGORICAL) > 0
        if by_set.any():
            left[by_set] = self._in_set(value[by_set], threshold[by_set].astype(np.int64))
        return np.where(missing & ~by_set, (flags & DEFAULT_LEFT) > 0, left)

    def _in_set(self, value: Floats, sets: Ints) -> NDArray[np.bool_]:
        trees = self._trees
        level = np.where(np.isnan(value) | (value < 0), -1, value).astype(np.int64)
        size = (trees.set_start[sets + 1] - trees.set_start[sets]) * 32
        inside = (level >= 0) & (level < size)
        word = trees.set_start[sets] + np.where(inside, level, 0) // 32
        bits = trees.set_words[np.where(inside, word, 0)] >> (np.where(inside, level, 0) % 32).astype(
            np.uint32
        )
        return inside & ((bits & 1) == 1)

    def _levels(self) -> Ints:
        depth = np.zeros(self._leaf.size, dtype=np.int64)
        front = self._trees.start[:-1]
        level = 0
        while front.size:
            depth[front] = level
            inner = front[~self._leaf[front]]
            front = np.concatenate([self._left[inner], self._right[inner]])
            level += 1
        return depth

    def _grouped(self) -> list[_Paths]:
        """Leaves by the number of distinct features on their path."""
        parent = np.full(self._leaf.size, -1)
        nodes = np.flatnonzero(~self._leaf)
        parent[self._left[nodes]], parent[self._right[nodes]] = nodes, nodes
        groups: dict[int, list[tuple[int, list[tuple[int, float, list[tuple[int, bool]]]]]]] = {}
        for leaf in np.flatnonzero(self._leaf & (self._depth > 0)).tolist():
            asked: dict[int, tuple[float, list[tuple[int, bool]]]] = {}
            node = leaf
            while (above := int(parent[node])) >= 0:
                feature = int(self._trees.feature[above])
                share, splits = asked.get(feature, (1.0, []))
                cover = self._trees.cover[above]
                ratio = self._trees.cover[node] / cover if cover > 0 else 0.0
                asked[feature] = (share * ratio, [*splits, (above, bool(self._left[above] == node))])
                node = above
            path = [(feature, share, splits) for feature, (share, splits) in asked.items()]
            groups.setdefault(len(path), []).append((leaf, path))
        return [_Paths(distinct, found, self._trees.value) for distinct, found in groups.items()]


class _Paths:
    """Leaves whose paths ask the same number d of distinct features."""

    def __init__(
        self,
        distinct: int,
        found: list[tuple[int, list[tuple[int, float, list[tuple[int, bool]]]]]],
        value: Floats,
    ) -> None:
        self.distinct = distinct
        self.feature = np.array([[feature for feature, _, _ in path] for _, path in found])
        self.share = np.array([[share for _, share, _ in path] for _, path in found])
        self.value = value[np.array([leaf for leaf, _ in found])]
        cells = [
            (i * distinct + j, node, left)
            for i, (_, path) in enumerate(found)
            for j, (_, _, splits) in enumerate(path)
            for node, left in splits
        ]
        self.cell = np.array([cell for cell, _, _ in cells])
        self.node = np.array([node for _, node, _ in cells])
        self.wants_left = np.array([left for _, _, left in cells])
        d = distinct
        self.weight = np.array(
            [math.factorial(s) * math.factorial(d - s - 1) / math.factorial(d) for s in range(d)]
        )

    def add(self, left: NDArray[np.bool_], sums: Floats) -> None:
        """Add this row's contributions; ``left`` says of each split which way the row goes."""
        broken = np.bincount(
            self.cell, weights=left[self.node] != self.wants_left, minlength=self.share.size
        ).reshape(self.share.shape)
        met = (broken == 0).astype(np.float64)
        size = max(1, _CHUNK // (self.distinct**2 + 1))
        for begin in range(0, met.shape[0], size):
            part = slice(begin, begin + size)
            self._add(met[part], self.share[part], self.feature[part], self.value[part], sums)

    def _add(self, met: Floats, share: Floats, feature: Ints, value: Floats, sums: Floats) -> None:
        leaves, d = met.shape
        for i in range(d):
            # Coefficients of prod over j != i of (r_j + o_j t): entry s sums over the sets of size s.
            sizes = np.zeros((leaves, d))
            sizes[:, 0] = 1.0
            for j in range(d):
                if j != i:
                    sizes[:, 1:] = sizes[:, 1:] * share[:, j, None] + sizes[:, :-1] * met[:, j, None]
                    sizes[:, 0] *= share[:, j]
            gain = value * (met[:, i] - share[:, i]) * (sizes @ self.weight)
            np.add.at(sums, feature[:, i], gain)
        sums[-1] += float(value @ share.prod(axis=1))
