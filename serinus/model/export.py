"""Fitted scikit-learn classifiers as numbers: the one way they enter a bundle.

scikit-learn is read here, where a model is built, and nowhere where it is served.
Only what can be reproduced faithfully is taken; anything else is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serinus.errors import SerinusError
from serinus.model.portable import Link, write_trees
from serinus.model.trees import AS_FLOAT, DEFAULT_LEFT, MISSING_NAN, Trees

Floats = NDArray[np.float64]
_AVERAGED = ("RandomForestClassifier", "ExtraTreesClassifier")


def export(estimator: Any) -> str:
    """A fitted classifier's text (see ``portable``).

    Takes RandomForestClassifier, ExtraTreesClassifier, GradientBoostingClassifier and
    HistGradientBoostingClassifier of the outcomes 0 and 1 (the bad one). The text's
    probability is ``predict_proba[:, 1]`` but for the last bits.

    Raises:
        SerinusError: ``SRN-MODEL-005`` for what cannot be held faithfully: another class,
            other outcomes, an ``init`` of its own, another loss, categorical splits.
    """
    kind = type(estimator).__name__
    if list(getattr(estimator, "classes_", [])) != [0, 1]:
        raise _refuse(kind, "its classes are not 0 and 1, or it is not fitted")
    if kind in _AVERAGED:
        return _averaged(kind, estimator)
    if kind == "GradientBoostingClassifier":
        return _boosted(kind, estimator)
    if kind == "HistGradientBoostingClassifier":
        return _histogram(kind, estimator)
    raise _refuse(kind, "it is none of the kinds that serinus can hold")


def _refuse(kind: str, why: str) -> SerinusError:
    return SerinusError(
        "SRN-MODEL-005",
        f"a {kind} cannot be exported: {why}",
        where="training",
        hint="Use LightGBM, a forest, gradient boosting or logistic regression of the outcomes 0 and 1.",
    )


def _averaged(kind: str, estimator: Any) -> str:
    count = len(estimator.estimators_)
    trees = []
    for member in estimator.estimators_:
        tree = member.tree_
        votes = tree.value[:, 0, :]
        trees.append(_tree(tree, votes[:, 1] / votes.sum(axis=1) / count))
    return _write(kind, estimator.n_features_in_, trees, "identity")


def _boosted(kind: str, estimator: Any) -> str:
    if estimator.loss != "log_loss":
        raise _refuse(kind, f"its loss is {estimator.loss}; expected log_loss")
    if estimator.init_ == "zero":
        base = 0.0
    elif type(estimator.init_).__name__ == "DummyClassifier" and estimator.init is None:
        prior = np.clip(
            estimator.init_.class_prior_[1], np.finfo(np.float32).eps, 1 - np.finfo(np.float32).eps
        )
        base = float(np.log(prior / (1 - prior)))
    else:
        raise _refuse(kind, "it starts from an estimator of its own (init)")
    rate = estimator.learning_rate
    trees = [Trees.leaf(base)]
    trees += [
        _tree(member.tree_, rate * member.tree_.value[:, 0, 0]) for member in estimator.estimators_[:, 0]
    ]
    return _write(kind, estimator.n_features_in_, trees, "logistic")


def _tree(tree: Any, value: Floats) -> Trees:
    """One tree of scikit-learn's own kind: numbers rounded to float32 before they are compared."""
    n, leaf = tree.node_count, tree.children_left < 0
    missing = getattr(tree, "missing_go_to_left", None)
    default = np.zeros(n, dtype=bool) if missing is None else np.asarray(missing, dtype=bool)
    flags = np.where(default, DEFAULT_LEFT, 0) | MISSING_NAN | AS_FLOAT
    return Trees.leaf(0.0).joined(
        n,
        feature=np.where(leaf, 0, tree.feature).astype(np.int32),
        threshold=np.where(leaf, 0.0, tree.threshold),
        flags=np.where(leaf, 0, flags).astype(np.uint8),
        left=np.where(leaf, -1, tree.children_left).astype(np.int32),
        right=np.where(leaf, -1, tree.children_right).astype(np.int32),
        value=np.where(leaf, value, 0.0).astype(np.float64),
        cover=np.asarray(tree.weighted_n_node_samples, dtype=np.float64),
    )


def _histogram(kind: str, estimator: Any) -> str:
    if estimator.loss != "log_loss":
        raise _refuse(kind, f"its loss is {estimator.loss}; expected log_loss")
    if getattr(estimator, "is_categorical_", None) is not None:
        raise _refuse(kind, "it splits by categories; pass them as numbers")
    trees = [Trees.leaf(float(np.ravel(estimator._baseline_prediction)[0]))]
    for (member,) in estimator._predictors:
        nodes = member.nodes
        leaf = nodes["is_leaf"].astype(bool)
        flags = np.where(nodes["missing_go_to_left"] > 0, DEFAULT_LEFT, 0) | MISSING_NAN
        trees.append(
            Trees.leaf(0.0).joined(
                nodes.size,
                feature=np.where(leaf, 0, nodes["feature_idx"]).astype(np.int32),
                threshold=np.where(leaf, 0.0, nodes["num_threshold"]),
                flags=np.where(leaf, 0, flags).astype(np.uint8),
                left=np.where(leaf, -1, nodes["left"].astype(np.int64)).astype(np.int32),
                right=np.where(leaf, -1, nodes["right"].astype(np.int64)).astype(np.int32),
                value=np.where(leaf, nodes["value"], 0.0),
                cover=nodes["count"].astype(np.float64),
            )
        )
    return _write(kind, estimator.n_features_in_, trees, "logistic")


def _write(kind: str, features: int, trees: Sequence[Trees], link: Link) -> str:
    names = {
        "RandomForestClassifier": "random_forest",
        "ExtraTreesClassifier": "extra_trees",
        "GradientBoostingClassifier": "gradient_boosting",
        "HistGradientBoostingClassifier": "hist_gradient_boosting",
    }
    return write_trees(Trees.join(features, trees), algorithm=names[kind], link=link)
