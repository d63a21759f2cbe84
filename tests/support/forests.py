"""Random ensembles of trees, LightGBM's text of them, and Shapley values by their definition."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serinus.model.trees import CATEGORICAL, DEFAULT_LEFT, MISSING_NAN, MISSING_ZERO, Trees

Floats = NDArray[np.float64]
FEW = np.array([2, 6, 2**31], dtype=np.uint32)
LEVELS = 70  # of a categorical feature: more than two words of a set


def random_trees(
    seed: int, *, trees: int = 3, features: int = 4, depth: int = 4, kinds: str = "nzm", categories: int = 1
) -> Trees:
    """Trees grown by coin tosses; features are drawn anew at each split, so they repeat on a path.

    Args:
        kinds: how splits treat what is missing: ``n`` NaN is zero, ``z`` zero is missing too,
            ``m`` NaN is missing.
        categories: how many of the first features are categorical.
    """
    random = np.random.default_rng(seed)
    return Trees.join(features, [_tree(random, features, depth, kinds, categories) for _ in range(trees)])


def _tree(random: np.random.Generator, features: int, depth: int, kinds: str, categories: int) -> Trees:
    nodes: list[dict[str, Any]] = []
    sets: list[NDArray[np.uint32]] = []

    def grow(level: int, cover: int) -> int:
        at = len(nodes)
        node: dict[str, Any] = {"value": float(random.normal()), "cover": float(cover)}
        nodes.append(node)
        if level == depth or cover < 2 or random.random() < 0.15:
            return at
        feature = int(random.integers(features))
        flags = {"n": 0, "z": MISSING_ZERO, "m": MISSING_NAN}[str(random.choice(list(kinds)))]
        flags |= DEFAULT_LEFT * int(random.integers(2))
        threshold = float(random.choice([0.0, -0.5, 1.0, random.normal()]))
        if feature < categories:
            flags, threshold = CATEGORICAL, float(len(sets))
            drawn = random.integers(0, 2**32, int(random.integers(1, 4)), dtype=np.uint32)
            # Often one of a few: equal sets of unlike length, and the same set of two features.
            few = np.append(random.choice(FEW), np.zeros(int(random.integers(3)), np.uint32))
            sets.append(drawn if random.random() < 0.5 else few)
        left = int(random.integers(1, cover))
        node |= {"feature": feature, "flags": flags, "threshold": threshold, "value": 0.0}
        node |= {"left": grow(level + 1, left), "right": grow(level + 1, cover - left)}
        return at

    grow(0, 1000)
    return Trees(
        features=features,
        start=np.array([0, len(nodes)], dtype=np.int64),
        feature=np.array([n.get("feature", 0) for n in nodes], dtype=np.int32),
        threshold=np.array([n.get("threshold", 0.0) for n in nodes]),
        flags=np.array([n.get("flags", 0) for n in nodes], dtype=np.uint8),
        left=np.array([n.get("left", -1) for n in nodes], dtype=np.int32),
        right=np.array([n.get("right", -1) for n in nodes], dtype=np.int32),
        value=np.array([n["value"] for n in nodes]),
        cover=np.array([n["cover"] for n in nodes]),
        set_start=np.cumsum([0, *(len(s) for s in sets)]).astype(np.int64),
        set_words=np.concatenate([np.zeros(0, np.uint32), *sets]),
    )


def random_rows(seed: int, n: int, features: int, categories: int = 1) -> Floats:
    """Rows with ties to thresholds, zeros, tiny numbers, missing values, and known and unknown levels."""
    random = np.random.default_rng([seed, 1])
    rows = random.normal(size=(n, features))
    special = np.array([0.0, -0.0, 1e-36, -0.5, 1.0, math.nan, 1e300, -1e300])
    mask = random.random(rows.shape) < 0.3
    rows[mask] = random.choice(special, int(mask.sum()))
    for k in range(categories):
        rows[:, k] = random.choice(np.array([*range(LEVELS + 40), -1.0, math.nan, 1e12, 2.5]), n)
    return rows


def goes_left(trees: Trees, node: int, x: float) -> bool:
    """Whether a value takes the left branch of a split: LightGBM's rules, in a form made to be read."""
    flags, threshold = int(trees.flags[node]), float(trees.threshold[node])
    if flags & CATEGORICAL:
        if math.isnan(x) or not -1 < x < 2**31:
            return False
        start, stop = trees.set_start[int(threshold) : int(threshold) + 2].tolist()
        words = trees.set_words[start:stop].tolist()
        return int(x) // 32 < len(words) and bool(words[int(x) // 32] >> (int(x) % 32) & 1)
    if math.isnan(x) and not flags & MISSING_NAN:
        x = 0.0
    if (flags & MISSING_NAN and math.isnan(x)) or (flags & MISSING_ZERO and abs(x) <= 1e-35):
        return bool(flags & DEFAULT_LEFT)
    return (0.0 if abs(x) <= 1e-35 else x) <= threshold


def expected(trees: Trees, row: Floats, known: frozenset[int]) -> float:
    """The expected margin if only ``known`` features are: elsewhere both branches, by their covers."""

    def below(root: int, at: int) -> float:
        node = root + at
        if trees.left[node] < 0:
            return float(trees.value[node])
        left, right = int(trees.left[node]), int(trees.right[node])
        if int(trees.feature[node]) in known:
            return below(root, left if goes_left(trees, node, float(row[trees.feature[node]])) else right)
        covers = trees.cover[[root + left, root + right]]
        return float((covers[0] * below(root, left) + covers[1] * below(root, right)) / covers.sum())

    total = 0.0
    for root in trees.start[:-1]:
        total += below(int(root), 0)  # not sum(), which compensates its rounding
    return total


def shapley(trees: Trees, row: Floats) -> Floats:
    """Path-dependent Shapley values by their definition, over all subsets; base value last."""
    features = range(trees.features)
    worth = {
        frozenset(s): expected(trees, row, frozenset(s))
        for size in range(trees.features + 1)
        for s in itertools.combinations(features, size)
    }
    weight = [1 / (trees.features * math.comb(trees.features - 1, s)) for s in features]
    values = [
        sum(weight[len(s)] * (worth[s | {i}] - worth[s]) for s in worth if i not in s) for i in features
    ]
    return np.array([*values, worth[frozenset()]])


def lightgbm_text(trees: Trees, sigmoid: float = 1.0) -> str:
    """The trees as LightGBM writes a binary model."""
    blocks = [_block(trees, i) for i in range(trees.count)]
    names = [f"f{i}" for i in range(trees.features)]
    return "\n".join(
        [
            "tree", "version=v4", "num_class=1", "num_tree_per_iteration=1", "label_index=0",
            f"max_feature_idx={trees.features - 1}", f"objective=binary sigmoid:{sigmoid:g}",
            f"feature_names={' '.join(names)}", f"feature_infos={' '.join('[-9:9]' for _ in names)}",
            f"tree_sizes={' '.join(str(len(block)) for block in blocks)}", "",
            "".join(blocks) + "end of trees", "",
        ]
    )  # fmt: skip


def _block(trees: Trees, i: int) -> str:
    start, stop = trees.start[i : i + 2].tolist()
    nodes = np.arange(start, stop)
    inner = nodes[trees.left[start:stop] >= 0]
    leaves = nodes[trees.left[start:stop] < 0]
    place = {int(n): k for k, n in enumerate(inner)} | {int(n): -k - 1 for k, n in enumerate(leaves)}
    by_set = inner[(trees.flags[inner] & CATEGORICAL) > 0]
    number = {int(n): k for k, n in enumerate(by_set)}
    words = [
        trees.set_words[slice(*trees.set_start[int(trees.threshold[n]) : int(trees.threshold[n]) + 2])]
        for n in by_set
    ]

    def line(key: str, values: Any) -> str:
        return f"{key}={' '.join(f'{v:.17g}' if isinstance(v, float) else str(v) for v in values)}"

    lines = [f"Tree={i}", f"num_leaves={leaves.size}", f"num_cat={len(words)}"]
    lines += [
        line("split_feature", trees.feature[inner].tolist()),
        line("split_gain", [1] * inner.size),
        line("threshold", [number[n] if n in number else float(trees.threshold[n]) for n in inner.tolist()]),
        line("decision_type", trees.flags[inner].tolist()),
        line("left_child", [place[start + int(trees.left[n])] for n in inner]),
        line("right_child", [place[start + int(trees.right[n])] for n in inner]),
        line("leaf_value", trees.value[leaves].tolist()),
        line("leaf_weight", [1] * leaves.size),
        line("leaf_count", [int(c) for c in trees.cover[leaves]]),
        line("internal_value", [0] * inner.size),
        line("internal_weight", [1] * inner.size),
        line("internal_count", [int(c) for c in trees.cover[inner]]),
    ]
    if words:
        lines += [
            line("cat_boundaries", np.cumsum([0, *(w.size for w in words)]).tolist()),
            line("cat_threshold", np.concatenate(words).tolist()),
        ]
    return "\n".join([*lines, "is_linear=0", "shrinkage=1", "", "", ""])
