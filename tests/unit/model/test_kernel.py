"""The compiled kernel answers as the definition, as the shap library and as LightGBM do."""

from __future__ import annotations

import threading
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from serinus.errors import SerinusError
from serinus.model import ensemble as ensembles
from serinus.model.ensemble import Ensemble, load_ensemble
from serinus.model.lightgbm_text import parse_lightgbm
from serinus.model.trees import Trees
from tests.support.forests import expected, lightgbm_text, random_rows, random_trees, shapley

native: Any = pytest.importorskip("serinus.model._native")
Floats = NDArray[np.float64]
seeds = st.integers(0, 2**32)


def forest(trees: Trees, **options: Any) -> Any:
    return native.Forest(trees.features, trees.arrays(), **options)


def contributions(made: Any, rows: Floats) -> Floats:
    out = np.empty((rows.shape[0], made.features + 1))
    made.contributions(np.ascontiguousarray(rows), out)
    return out


def margins(made: Any, rows: Floats) -> Floats:
    out = np.empty(rows.shape[0])
    made.margins(np.ascontiguousarray(rows), out)
    return out


def by_lightgbm(text: str, rows: Floats, **options: Any) -> Floats:
    return np.asarray(lightgbm.Booster(model_str=text).predict(rows, num_threads=1, **options))


def no_warning(warning: SerinusError) -> None:
    raise AssertionError(str(warning))


@settings(max_examples=60, deadline=None)
@given(seed=seeds, features=st.integers(1, 5), depth=st.integers(0, 7), trees=st.integers(0, 3))
def test_contributions_are_shapley_values(seed: int, features: int, depth: int, trees: int) -> None:
    ensemble = random_trees(seed, features=features, depth=depth, trees=trees)
    rows = random_rows(seed, 4, features)
    wanted = np.array([shapley(ensemble, row) for row in rows])
    np.testing.assert_allclose(contributions(forest(ensemble), rows), wanted, rtol=0, atol=1e-11)


@settings(max_examples=60, deadline=None)
@given(seed=seeds, features=st.integers(1, 9), depth=st.integers(0, 9), trees=st.integers(0, 40))
def test_margins_are_the_sum_of_the_leaves_in_the_order_of_the_trees(
    seed: int, features: int, depth: int, trees: int
) -> None:
    ensemble = random_trees(seed, features=features, depth=depth, trees=trees)
    rows = random_rows(seed, 45, features)
    wanted = [expected(ensemble, row, frozenset(range(features))) for row in rows]
    made = forest(ensemble)
    assert margins(made, rows).tolist() == wanted
    assert [made.margin(row) for row in rows] == wanted


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    features=st.integers(1, 30),
    depth=st.integers(1, 10),
    trees=st.integers(1, 20),
    sigmoid=st.sampled_from([1.0, 0.5, 2.0]),
)
def test_the_kernel_answers_as_lightgbm_does(
    seed: int, features: int, depth: int, trees: int, sigmoid: float
) -> None:
    text = lightgbm_text(
        random_trees(seed, features=features, depth=depth, trees=trees, categories=2), sigmoid
    )
    rows = random_rows(seed, 20, features, categories=min(2, features))
    model = parse_lightgbm(text)
    assert model.sigmoid == sigmoid
    made = forest(model.trees)
    np.testing.assert_array_equal(margins(made, rows), by_lightgbm(text, rows, raw_score=True))
    np.testing.assert_allclose(
        contributions(made, rows), by_lightgbm(text, rows, pred_contrib=True), rtol=0, atol=1e-9
    )
    ensemble = load_ensemble(text, features=features, warn=no_warning)
    np.testing.assert_array_equal(ensemble.probability(rows), by_lightgbm(text, rows))


@settings(max_examples=40, deadline=None)
@given(seed=seeds, features=st.integers(1, 12), depth=st.integers(1, 10), trees=st.integers(1, 8))
def test_the_kernel_explains_as_the_shap_library_does(
    seed: int, features: int, depth: int, trees: int
) -> None:
    shap = pytest.importorskip("shap")
    ensemble = random_trees(seed, features=features, depth=depth, trees=trees, kinds="m", categories=0)
    rows = np.random.default_rng(seed).normal(size=(10, features))
    rows[np.random.default_rng([seed, 2]).random(rows.shape) < 0.2] = np.nan
    oracle = shap.TreeExplainer({"trees": [_shap_tree(ensemble, i) for i in range(trees)]})
    wanted = oracle.shap_values(rows, check_additivity=False)
    np.testing.assert_allclose(contributions(forest(ensemble), rows)[:, :-1], wanted, rtol=0, atol=1e-6)


def _shap_tree(trees: Trees, i: int) -> dict[str, NDArray[Any]]:
    nodes = slice(*trees.start[i : i + 2].tolist())
    left, right = trees.left[nodes], trees.right[nodes]
    return {
        "children_left": left,
        "children_right": right,
        "children_default": np.where(trees.flags[nodes] & 2, left, right),
        "feature": np.where(left < 0, -2, trees.feature[nodes]),
        "threshold": trees.threshold[nodes],
        "value": trees.value[nodes].reshape(-1, 1),
        "node_sample_weight": trees.cover[nodes],
    }


@settings(max_examples=40, deadline=None)
@given(seed=seeds, features=st.integers(1, 40), depth=st.integers(1, 14), trees=st.integers(1, 10))
def test_contributions_add_up_and_a_batch_is_its_rows(
    seed: int, features: int, depth: int, trees: int
) -> None:
    made = forest(random_trees(seed, features=features, depth=depth, trees=trees))
    rows = random_rows(seed, 40, features)
    found = contributions(made, rows)
    np.testing.assert_allclose(found.sum(axis=1), margins(made, rows), rtol=0, atol=1e-9)
    assert [made.contribution(row) for row in rows] == found.tolist()
    assert made.distinct <= min(features, depth)


@pytest.mark.parametrize("features", [8, 9, 16, 17, 40, 128])
def test_paths_through_many_features_are_explained(features: int) -> None:
    """A chain that reads each feature once: the widest a path of that length can be."""
    at = np.arange(features)
    nodes = 2 * features + 1
    left, right = np.full(nodes, -1, np.int32), np.full(nodes, -1, np.int32)
    left[:features], right[:features] = features + at, at + 1
    right[features - 1] = 2 * features
    random = np.random.default_rng(features)
    cover = np.zeros(nodes)
    cover[features:] = random.integers(1, 50, features + 1)
    for i in reversed(range(features)):
        cover[i] = cover[left[i]] + cover[right[i]]
    ensemble = Trees(
        features=features,
        start=np.array([0, nodes]),
        feature=np.concatenate([at, np.zeros(features + 1)]).astype(np.int32),
        threshold=np.zeros(nodes),
        flags=np.full(nodes, 8, np.uint8),
        left=left,
        right=right,
        value=np.concatenate([np.zeros(features), random.normal(size=features + 1)]),
        cover=cover,
        set_start=np.zeros(1, np.int64),
        set_words=np.zeros(0, np.uint32),
    )
    rows = random.normal(size=(20, features))
    made = forest(ensemble)
    found = contributions(made, rows)
    assert made.distinct == features
    np.testing.assert_allclose(found[:, :-1], _chain_by_leaf(ensemble, rows), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), margins(made, rows), rtol=0, atol=1e-12)
    if features <= 40:  # beyond, LightGBM's own recursion loses its digits (off by 1,000 at 128)
        wanted = by_lightgbm(lightgbm_text(ensemble), rows, pred_contrib=True)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def _chain_by_leaf(chain: Trees, rows: Floats) -> Floats:
    """Leaf by leaf: v (o_i - z_i) times the integral of the other features' z (1 - t) + o t."""
    points, weights = np.polynomial.legendre.leggauss(90)
    points, weights = (points + 1) / 2, weights / 2
    features = chain.features
    out = np.zeros(rows.shape)
    for leaf in range(features + 1):
        path = np.arange(min(leaf + 1, features))
        turns_left = path == leaf
        share = chain.cover[np.where(turns_left, chain.left[path], chain.right[path])] / chain.cover[path]
        met = ((rows[:, path] <= 0) == turns_left).astype(float)
        factors = share[:, None] * (1 - points) + met[:, :, None] * points
        others = np.prod(factors, axis=1)[:, None] / factors @ weights
        out[:, path] += chain.value[features + leaf] * (met - share) * others
    return out


TRAINED: dict[str, dict[str, Any]] = {
    "plain": {},
    "missing is NaN": {"missing": 0.2},
    "missing is zero": {"missing": 0.2, "zero_as_missing": True},
    "missing is nothing": {"use_missing": False},
    "categories": {"categorical": [0, 1]},
    "many categories": {"categorical": [0, 1], "max_cat_to_onehot": 1, "min_data_per_group": 5},
    "duplicated features": {"duplicate": True},
    "one-hot features": {"one_hot": True},
    "stumps": {"max_depth": 1},
    "depth 10": {"max_depth": 10, "num_leaves": 200, "min_data_in_leaf": 2},
    "deep and narrow": {"max_depth": -1, "num_leaves": 63},
    "steep sigmoid": {"sigmoid": 2.5},
    "nothing to learn": {"constant": True},
    "no split possible": {"min_data_in_leaf": 10_000},
}


@pytest.mark.parametrize("case", TRAINED)
def test_trained_models_are_answered_alike(case: str) -> None:
    options = dict(TRAINED[case])
    rows, outcome, options = _data(options)
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": 1, "min_data_in_leaf": 20}
    data = lightgbm.Dataset(rows, outcome, categorical_feature=options.pop("categorical", []))
    text = lightgbm.train({**parameters, **options}, data, 30).model_to_string()
    made = load_ensemble(text, features=rows.shape[1], warn=no_warning)
    assert made.backend == "native"
    np.testing.assert_array_equal(made.probability(rows), by_lightgbm(text, rows))
    sample = rows[:100]
    wanted = by_lightgbm(text, sample, pred_contrib=True)
    np.testing.assert_allclose(made.contributions(sample), wanted, rtol=0, atol=1e-9)
    assert [made.probability_of(row) for row in sample] == made.probability(sample).tolist()
    assert [made.contributions_of(row) for row in sample] == made.contributions(sample).tolist()


def _data(options: dict[str, Any]) -> tuple[Floats, Floats, dict[str, Any]]:
    random = np.random.default_rng(5)
    rows = random.normal(size=(1500, 8))
    rows[:, 0], rows[:, 1] = random.integers(0, 60, 1500), random.integers(0, 3, 1500)
    margin = rows[:, 2] * rows[:, 3] + (rows[:, 0] % 3) - rows[:, 1] + rows[:, 4]
    outcome = (margin + random.normal(size=1500) > 0).astype(float)
    rows[random.random(rows.shape) < options.pop("missing", 0)] = np.nan
    if options.pop("duplicate", False):
        rows = np.column_stack([rows, rows[:, 2:5]])
    if options.pop("one_hot", False):
        rows = np.column_stack([rows, rows[:, [0]] == np.arange(60)])
    if options.pop("constant", False):
        rows[:] = 1.0
    return np.ascontiguousarray(rows), outcome, options


def _text() -> str:
    return lightgbm_text(random_trees(11, trees=20, depth=6))


@pytest.mark.parametrize("why", ["budget", "not compiled", "no covers"])
def test_what_the_kernel_cannot_hold_the_library_answers_loudly(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, warnings, options = _text(), list[SerinusError](), dict[str, Any]()
    native_answers = load_ensemble(text, features=4, warn=no_warning)
    if why == "budget":
        options["budget"] = 10_000
    elif why == "not compiled":
        monkeypatch.setattr(ensembles, "_native", None)
    else:
        trees = random_trees(11, trees=20, depth=6)
        trees.cover[1] += 500.0  # a child that was more often reached than its parent
        text = lightgbm_text(trees)
    made: Ensemble = load_ensemble(text, features=4, warn=warnings.append, **options)
    rows = random_rows(3, 30, 4)
    assert made.backend == "library"
    assert [warning.code for warning in warnings] == ["SRN-MODEL-004"]
    np.testing.assert_array_equal(made.probability(rows), native_answers.probability(rows))
    assert [made.probability_of(row) for row in rows] == made.probability(rows).tolist()
    if why != "no covers":
        np.testing.assert_allclose(made.contributions(rows), native_answers.contributions(rows), atol=1e-9)
        np.testing.assert_allclose(
            [made.contributions_of(row) for row in rows], native_answers.contributions(rows), atol=1e-9
        )


def test_threads_share_a_forest() -> None:
    made, rows = forest(random_trees(4, trees=30, depth=7)), random_rows(4, 64, 4)
    wanted, found = contributions(made, rows), list[bool]()

    def work() -> None:
        for _ in range(20):
            same = np.array_equal(contributions(made, rows), wanted)
            found.append(same and np.array_equal([made.contribution(r) for r in rows[:4]], wanted[:4]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 80
