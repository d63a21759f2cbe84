"""No arrays and no text, however hostile, do more than be refused."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.errors import SerinusError
from serinus.model.ensemble import load_ensemble
from serinus.model.lightgbm_text import parse_lightgbm
from serinus.model.trees import Trees
from tests.support.forests import lightgbm_text, random_rows, random_trees

native: Any = pytest.importorskip("serinus.model._native")
FEATURES = 4
SMALL = random_trees(2, trees=4, depth=5, features=FEATURES, categories=2)
TEXT = lightgbm_text(SMALL)
NAMES = list(SMALL.arrays())


def made_of(**changes: Any) -> Any:
    return native.Forest(FEATURES, SMALL.arrays() | changes)


def changed(name: str, position: int, value: Any) -> dict[str, Any]:
    array = SMALL.arrays()[name].copy()
    array[position] = value
    return {name: array}


def inner() -> int:
    return int(np.flatnonzero(SMALL.left >= 0)[0])


def categorical() -> int:
    return int(np.flatnonzero(SMALL.flags & 1)[0])


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a child beyond its tree": (changed("left", inner(), 10**6), "child"),
    "a child before its tree": (changed("left", inner(), -7), "child"),
    "a root that is a child": (changed("right", inner(), 0), "child"),
    "one child only": (changed("left", inner(), -1), "child"),
    "two parents": (changed("left", inner(), int(SMALL.right[inner()])), "two parents"),
    "an orphan": (changed("left", inner(), -1) | changed("right", inner(), -1), "hang"),
    "a feature beyond the row": (changed("feature", inner(), FEATURES), "feature"),
    "a negative feature": (changed("feature", inner(), -1), "feature"),
    "a threshold that is no number": (changed("threshold", inner(), np.nan), "threshold|category set"),
    "a category set that is not there": (changed("threshold", categorical(), 10**6), "category set"),
    "half a category set": (changed("threshold", categorical(), 0.5), "category set"),
    "unknown flags": (changed("flags", inner(), 64), "flags"),
    "both kinds of missing": (changed("flags", inner(), 12), "flags"),
    "sets beyond the words": (changed("set_start", -1, 10**6), "category set"),
    "sets that run backwards": (changed("set_start", 1, -1), "category set"),
    "trees beyond the nodes": (changed("start", -1, 10**6), "cover"),
    "a tree of no nodes": (changed("start", 1, 0), "no nodes"),
    "trees that run backwards": (changed("start", 1, -5), "no nodes"),
    "columns of different lengths": ({"value": np.zeros(3)}, "items"),
    "no start": ({"start": np.zeros(0, np.int64)}, "begin"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arrays_that_are_no_trees_are_refused_by_name(case: str) -> None:
    changes, says = REFUSED[case]
    with pytest.raises(ValueError, match=says):
        made_of(**changes)


def test_a_cycle_away_from_the_root_is_refused() -> None:
    """Every node has one parent, and yet two of them only each other."""
    left, right = np.array([1, -1, -1, 4, 3], np.int32), np.array([2, -1, -1, 5, 6], np.int32)
    nodes = Trees.join(1, [Trees.leaf(0.0)] * 7).arrays()
    nodes |= {
        "start": np.array([0, 7]),
        "left": np.append(left, [-1, -1]).astype(np.int32),
        "right": np.append(right, [-1, -1]).astype(np.int32),
    }
    with pytest.raises(ValueError, match="hang on its root"):
        native.Forest(1, nodes)
    with pytest.raises(ValueError, match="hang on its tree's root"):
        Trees(features=1, **nodes).check()


@pytest.mark.parametrize(
    "changes",
    [
        {"value": SMALL.value.astype(np.float32)},
        {"left": SMALL.left.astype(np.int64)},
        {"left": SMALL.left.tolist()},
        {"value": np.repeat(SMALL.value, 2)[::2]},
    ],
)
def test_arrays_of_another_kind_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((TypeError, BufferError, ValueError)):
        made_of(**changes)


def test_rows_of_another_width_or_kind_are_refused() -> None:
    made = made_of()
    for row in (np.zeros(3), np.zeros(5), np.zeros(4, np.float32), np.zeros(8)[::2]):
        with pytest.raises((TypeError, ValueError)):
            made.margin(row)
        with pytest.raises((TypeError, ValueError)):
            made.contribution(row)
    for rows, out in ((np.zeros((2, 4)), np.zeros(3)), (np.zeros((2, 3)), np.zeros(2))):
        with pytest.raises(ValueError, match="must hold"):
            made.margins(rows, out)
    with pytest.raises((ValueError, BufferError)):
        made.margins(np.zeros((2, 4)), np.frombuffer(bytes(16)))


@settings(max_examples=300, deadline=None)
@given(
    edits=st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.integers(0, 10**4),
            st.sampled_from([-(2**31), -2, -1, 0, 1, 2, 3, 5, 31, 2**31 - 1]) | st.integers(-40, 200),
        ),
        max_size=4,
    ),
    special=st.sampled_from([None, np.nan, np.inf, -np.inf, 1e308]),
    cut=st.sampled_from([*NAMES, None]),
    budget=st.sampled_from([0, 500, 5000, 1 << 26]),
)
def test_damaged_arrays_are_refused_or_make_a_forest_that_answers(
    edits: list[tuple[str, int, int]], special: float | None, cut: str | None, budget: int
) -> None:
    arrays = {name: array.copy() for name, array in SMALL.arrays().items()}
    for name, position, value in edits:
        array = arrays[name]
        with np.errstate(all="ignore"):
            array[position % array.size] = np.array(value).astype(array.dtype)
        if special is not None and array.dtype == np.float64:
            array[position % array.size] = special
    if cut is not None and edits:
        arrays[cut] = arrays[cut][: edits[0][1] % (arrays[cut].size + 1)]
    try:
        made = native.Forest(FEATURES, arrays, budget=budget)
    except (ValueError, OverflowError):
        return
    rows, out = random_rows(1, 40, FEATURES, 2), np.empty(40)
    made.margins(rows, out)
    assert made.margin(rows[0]) == out[0] or np.isnan(out[0])
    if made.explains:
        made.contributions(rows, np.empty((40, FEATURES + 1)))


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(1, 30))
def test_random_arrays_are_refused_or_make_a_forest_that_answers(seed: int, size: int) -> None:
    random = np.random.default_rng(seed)
    arrays = {
        "start": np.array([0, size]),
        "feature": random.integers(-1, 6, size, dtype=np.int32),
        "threshold": random.choice([0.0, 1.0, 2.0, np.nan], size),
        "flags": random.integers(0, 32, size, dtype=np.uint8),
        "left": random.integers(-1, size + 1, size, dtype=np.int32),
        "right": random.integers(-1, size + 1, size, dtype=np.int32),
        "value": random.normal(size=size),
        "cover": random.normal(size=size),
        "set_start": np.array([0, 1, 2]),
        "set_words": random.integers(0, 2**32, 2, dtype=np.uint32),
    }
    try:
        made = native.Forest(FEATURES, arrays)
    except ValueError:
        return
    made.margins(random_rows(seed, 9, FEATURES), np.empty(9))


MALFORMED: dict[str, tuple[str, str]] = {
    "nothing": (r"(?s).*", ""),
    "half a file": (r"(?s)Tree=2.*", ""),
    "no trees named": (r"tree_sizes=.*", "tree_sizes="),
    "another size": (r"tree_sizes=\d", "tree_sizes=9"),
    "a missing tree": (r"Tree=1\b", "Tree=7"),
    "several classes": (r"num_class=1", "num_class=3"),
    "another objective": (r"objective=binary sigmoid:1", "objective=regression"),
    "no objective": (r"objective=.*\n", ""),
    "a sigmoid of nothing": (r"sigmoid:1", "sigmoid:0"),
    "words for numbers": (r"threshold=\S", "threshold=x"),
    "an underscore in a number": (r"(?<=max_feature_idx=)3", "0_3"),
    "too few numbers": (r"leaf_value=\S+ ", "leaf_value="),
    "too many numbers": (r"leaf_value=", "leaf_value=1 "),
    "a key twice": (r"num_cat=", "num_cat=0\nnum_cat="),
    "a child beyond": (r"left_child=\S+", "left_child=999"),
    "a feature beyond": (r"split_feature=\d", "split_feature=9"),
    "unknown decisions": (r"decision_type=\d+", "decision_type=77"),
    "leaves without end": (r"num_leaves=\d+", "num_leaves=2147483647"),
    "leaves below none": (r"num_leaves=\d+", "num_leaves=-1"),
    "categories beyond": (r"cat_boundaries=0 \d+", "cat_boundaries=0 99999"),
    "a number beyond its kind": (r"split_feature=\d", "split_feature=99999999999999999999"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_damaged_text_is_refused_with_a_code(case: str) -> None:
    text = re.sub(*MALFORMED[case], TEXT, count=1)
    assert text != TEXT
    if case != "another size":
        text = _sized(text)
    with pytest.raises(SerinusError) as caught:
        parse_lightgbm(text)
    assert caught.value.code == "SRN-MODEL-003"


def _sized(text: str) -> str:
    """The text with sizes as its trees now have, so that what is damaged is not only that."""
    starts = [m.start() for m in re.finditer(r"^Tree=\d+$", text, re.MULTILINE)]
    stops = [*starts[1:], text.find("end of trees")]
    sizes = " ".join(str(stop - start) for start, stop in zip(starts, stops, strict=True)) if starts else ""
    return re.sub(r"tree_sizes=\d.*", f"tree_sizes={sizes}", text, count=1)


@settings(max_examples=300, deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(TEXT) - 1), st.text(alphabet="-0123456789.einf =\n\0é", max_size=4)),
        min_size=1,
        max_size=3,
    )
)
def test_any_text_is_a_model_or_refused(edits: list[tuple[int, str]]) -> None:
    text = TEXT
    for at, new in edits:
        text = text[:at] + new + text[at + len(new) :]
    with contextlib.suppress(SerinusError):
        made = load_ensemble(_sized(text), features=FEATURES, warn=lambda warning: None)
        made.probability(random_rows(0, 5, FEATURES, 2))


def test_another_number_of_features_than_the_contract_s_is_refused() -> None:
    with pytest.raises(SerinusError) as caught:
        load_ensemble(TEXT, features=FEATURES + 1, warn=lambda warning: None)
    assert caught.value.code == "SRN-MODEL-002"


@pytest.mark.parametrize(
    ("pattern", "new", "says"),
    [(r"is_linear=0", "is_linear=1", "linear"), (r"objective=", "average_output\nobjective=", "averages")],
)
def test_what_the_trees_do_not_hold_is_said(pattern: str, new: str, says: str) -> None:
    assert says in parse_lightgbm(_sized(re.sub(pattern, new, TEXT, count=1))).beyond
