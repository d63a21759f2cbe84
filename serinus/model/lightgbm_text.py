"""LightGBM's text format as flat arrays, read strictly.

LightGBM itself believes the numbers in a model file: a child or feature out of range
makes it read beyond its memory. Here every list is checked for its length and every
number for its form; whether the trees are trees is checked where a forest is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serinus.errors import SerinusError
from serinus.model.trees import Trees

_TREE = re.compile(r"^Tree=(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class TextModel:
    """A binary model.

    Attributes:
        trees: whose leaves sum to the margin, unless ``beyond`` says otherwise.
        sigmoid: the probability is ``1 / (1 + exp(-sigmoid * margin))``.
        beyond: empty, or what of the model the trees do not hold, so that only LightGBM
            itself can score it.
    """

    trees: Trees
    sigmoid: float
    beyond: str = ""


def parse_lightgbm(text: str, *, where: str = "model.txt") -> TextModel:
    """The model in ``text``.

    Raises:
        SerinusError: ``SRN-MODEL-003`` it is not a binary LightGBM model in text form, or is
            damaged.
    """
    try:
        model = _parse(text)
        model.trees.check()
        return model
    except ValueError as error:
        raise SerinusError(
            "SRN-MODEL-003",
            f"the model is not a sound LightGBM text model of a binary outcome ({error})",
            where=where,
            hint="The bundle was not written by serinus or is damaged; build it again.",
        ) from error


class _MalformedError(ValueError):
    pass


def _parse(text: str) -> TextModel:
    body, end, _ = text.partition("\nend of trees")
    if not end:
        raise _MalformedError('there is no "end of trees"')
    starts = list(_TREE.finditer(body))
    head = _keys(body[: starts[0].start()] if starts else body)
    if not body.startswith("tree\n"):
        raise _MalformedError('it does not begin with "tree"')
    features = _whole(head, "max_feature_idx") + 1
    if _whole(head, "num_class") != 1 or _whole(head, "num_tree_per_iteration") != 1:
        raise _MalformedError("it has several classes")
    sigmoid = _sigmoid(head.get("objective", ""))
    sizes = _numbers(head.get("tree_sizes", ""), len(starts), np.int64, "tree_sizes").tolist()
    blocks: list[dict[str, str]] = []
    for i, match in enumerate(starts):
        if match[1] != str(i):
            raise _MalformedError(f"Tree={match[1]} stands where Tree={i} belongs")
        stop = starts[i + 1].start() if i + 1 < len(starts) else len(body) + 1
        if stop - match.start() != sizes[i]:  # LightGBM would cut the text elsewhere
            raise _MalformedError(f"tree {i} has {stop - match.start()} characters, not {sizes[i]}")
        blocks.append(_keys(body[match.end() : stop]))
    beyond = ""
    if "average_output" in head:
        beyond = "it averages its trees"
    if any(block.get("is_linear", "0") != "0" for block in blocks):
        beyond = "its leaves are linear models"
    parts = [_tree(block, f"tree {i}") for i, block in enumerate(blocks)]
    return TextModel(Trees.join(features, parts), sigmoid, beyond)


def _keys(block: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in block.splitlines():
        key, _, value = line.partition("=")
        if key in found:
            raise _MalformedError(f"{key} stands twice")
        if key:
            found[key] = value
    return found


def _sigmoid(objective: str) -> float:
    name, *options = objective.split() or [""]
    if name != "binary":
        raise _MalformedError(f"its objective is {objective or 'missing'!r}, not binary")
    given = {key: value for key, _, value in (option.partition(":") for option in options)}
    steep = float(_numbers(given.get("sigmoid", "1"), 1, np.float64, "sigmoid")[0])
    if not (0 < steep < np.inf):
        raise _MalformedError(f"its sigmoid is {steep}")
    return steep


def _whole(keys: Mapping[str, str], name: str) -> int:
    return int(_numbers(keys.get(name, ""), 1, np.int32, name)[0])


def _numbers(text: str, count: int, kind: Any, name: str) -> NDArray[Any]:
    words = text.split(" ") if text else []
    if len(words) != count:
        raise _MalformedError(f"{name} has {len(words)} values, not {count}")
    try:
        numbers: NDArray[Any] = (
            np.array(list(map(float, words)), dtype=np.float64)
            if kind is np.float64
            else np.array(list(map(int, words)), dtype=np.int64)
        )
    except (ValueError, OverflowError) as error:
        raise _MalformedError(f"{name}: {error}") from error
    if "_" in text or not text.isascii():  # which Python would take for part of a number
        raise _MalformedError(f"{name} is not a list of numbers")
    narrow = numbers.astype(kind, copy=False)
    if kind is not np.float64 and (narrow != numbers).any():
        raise _MalformedError(f"{name} is out of range")
    return narrow


def _tree(keys: Mapping[str, str], name: str) -> Trees:
    """One tree: its splits are nodes 0 to n - 2, its leaves follow."""
    leaves = _whole(keys, "num_leaves")
    if leaves < 1:
        raise _MalformedError(f"{name} has {leaves} leaves")
    splits = leaves - 1

    def column(key: str, count: int, kind: Any) -> NDArray[Any]:
        return _numbers(keys.get(key, ""), count, kind, f"{name}, {key}")

    values = column("leaf_value", leaves, np.float64)
    if splits == 0:
        return Trees.leaf(float(values[0]))
    flags = column("decision_type", splits, np.int8)
    if ((flags < 0) | (flags > 15)).any():
        raise _MalformedError(f"{name} has unknown decision types")
    words, bounds = _sets(keys, flags, column, name)
    return Trees(
        features=0,
        start=np.array([0, splits + leaves], dtype=np.int64),
        feature=_padded(column("split_feature", splits, np.int32), leaves, 0),
        threshold=_padded(column("threshold", splits, np.float64), leaves, 0.0),
        flags=_padded(flags.astype(np.uint8), leaves, 0),
        left=_padded(_child(column("left_child", splits, np.int32), splits), leaves, -1),
        right=_padded(_child(column("right_child", splits, np.int32), splits), leaves, -1),
        value=np.concatenate([np.zeros(splits), values]),
        cover=np.concatenate(
            [column("internal_count", splits, np.float64), column("leaf_count", leaves, np.float64)]
        ),
        set_start=bounds,
        set_words=words,
    )


def _sets(
    keys: Mapping[str, str], flags: NDArray[np.int8], column: Any, name: str
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Category sets: bit c of a set is whether level c goes left."""
    sets = _whole(keys, "num_cat")
    if sets < int((flags & 1).sum()):
        raise _MalformedError(f"{name} has {sets} category sets for more splits")
    if sets == 0:
        return np.zeros(0, dtype=np.uint32), np.zeros(1, dtype=np.int64)
    bounds = column("cat_boundaries", sets + 1, np.int64)
    return column("cat_threshold", int(bounds[-1]), np.uint32), bounds


def _child(column: NDArray[np.int32], splits: int) -> NDArray[np.int32]:
    """LightGBM writes leaf i as -(i + 1)."""
    return np.where(column >= 0, column, splits - 1 - column.astype(np.int64)).astype(np.int32)


def _padded(column: NDArray[Any], leaves: int, with_: Any) -> NDArray[Any]:
    return np.concatenate([column, np.full(leaves, with_, dtype=column.dtype)])
