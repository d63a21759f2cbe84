"""How rows are divided and a model is fitted."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from components.config.strict import Fraction, Strict


class Split(Strict, frozen=True):
    """How records become training, validation and test rows.

    With an event time the three follow each other in time, with ``gap`` between them
    (default: the label's delay, because the labels of the last days before a cut were
    not yet known at the cut) and the first ``warmup`` left out (windows reach back
    before the first record). Without a time the split is random by ``seed``, in the
    same proportion of outcomes.
    """

    train: Fraction = 0.6
    validation: Fraction = 0.2
    test: Fraction = 0.2
    gap: str | None = None
    warmup: str = "0s"
    seed: Annotated[int, Meta(ge=0)] = 7


class Lightgbm(Strict, frozen=True):
    """LightGBM's parameters that may be tuned, by its own names.

    The objective is fixed, and parameters that distort the probabilities to fight
    class imbalance (``scale_pos_weight``, ``is_unbalance``) do not exist here: a
    threshold on a true probability does that work.
    """

    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 0.05
    num_leaves: Annotated[int, Meta(ge=2, le=4096)] = 31
    max_depth: int = -1
    min_data_in_leaf: Annotated[int, Meta(ge=1)] = 40
    min_sum_hessian_in_leaf: Annotated[float, Meta(ge=0)] = 1e-3
    min_gain_to_split: Annotated[float, Meta(ge=0)] = 0.0
    feature_fraction: Annotated[float, Meta(gt=0, le=1)] = 0.9
    bagging_fraction: Annotated[float, Meta(gt=0, le=1)] = 1.0
    bagging_freq: Annotated[int, Meta(ge=0)] = 0
    lambda_l1: Annotated[float, Meta(ge=0)] = 0.0
    lambda_l2: Annotated[float, Meta(ge=0)] = 1.0
    max_bin: Annotated[int, Meta(ge=2, le=65535)] = 255
    cat_smooth: Annotated[float, Meta(ge=0)] = 20.0
    cat_l2: Annotated[float, Meta(ge=0)] = 10.0
    max_cat_threshold: Annotated[int, Meta(ge=1)] = 32
    path_smooth: Annotated[float, Meta(ge=0)] = 0.0
    extra_trees: bool = False


class Forest(Strict, frozen=True):
    """Parameters of ``random_forest`` and ``extra_trees``, by scikit-learn's names.

    Depth is bounded by default: a forest grown to single rows is as large as its data,
    and reasons take time in proportion.
    """

    n_estimators: Annotated[int, Meta(ge=1, le=5000)] = 200
    max_depth: Annotated[int, Meta(ge=1)] | None = 8
    min_samples_leaf: Annotated[int, Meta(ge=1)] = 20
    max_features: Annotated[float, Meta(gt=0, le=1)] | Literal["sqrt", "log2"] = "sqrt"


class Boosting(Strict, frozen=True):
    """Parameters of ``gradient_boosting`` and ``hist_gradient_boosting``, by scikit-learn's names;
    ``subsample`` is the former's, ``l2_regularization`` the latter's."""

    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 0.1
    max_depth: Annotated[int, Meta(ge=1)] = 4
    min_samples_leaf: Annotated[int, Meta(ge=1)] = 20
    subsample: Annotated[float, Meta(gt=0, le=1)] = 1.0
    l2_regularization: Annotated[float, Meta(ge=0)] = 0.0


class Logistic(Strict, frozen=True):
    """``c`` is the inverse of the penalty on scaled weights."""

    c: Annotated[float, Meta(gt=0)] = 1.0


Algorithm = Literal[
    "lightgbm",
    "random_forest",
    "extra_trees",
    "gradient_boosting",
    "hist_gradient_boosting",
    "logistic_regression",
]


class Training(Strict, frozen=True):
    """How the model is fitted.

    ``parameters`` are LightGBM's; ``forest``, ``boosting`` and ``logistic`` those of the
    algorithms that they name.

    ``rounds`` is the most trees; training stops ``early_stopping`` rounds after the
    validation loss was best (0: never). ``calibration`` maps raw to believable
    probabilities on rows the trees have not seen; ``logistic`` suits few bad outcomes.
    ``mitigation: reweigh`` gives each training row the weight P(group) P(outcome) / P(group, outcome) (Kamiran and
    Calders 2012), so that outcome and protected group are independent in the weighted
    data; the attribute itself is used here only and is never an input of the model.
    ``exclude`` names features of the contract that the trees may not use, so that models
    with and without them can be compared under one contract (a search for a less
    discriminatory alternative begins with such a list).
    Up to ``out_of_fold_rows`` rows every training and validation row is also scored by
    a model that has not seen it (``folds`` parts), for whatever needs more rows than
    the test part has: calibration and fairness of small groups.
    """

    algorithm: Algorithm = "lightgbm"
    parameters: Lightgbm = Lightgbm()
    forest: Forest = Forest()
    boosting: Boosting = Boosting()
    logistic: Logistic = Logistic()
    seed: Annotated[int, Meta(ge=0)] = 7
    rounds: Annotated[int, Meta(ge=1, le=10000)] = 300
    early_stopping: Annotated[int, Meta(ge=0)] = 30
    calibration: Literal["isotonic", "logistic", "identity"] = "isotonic"
    mitigation: Literal["none", "reweigh"] = "none"
    exclude: tuple[str, ...] = ()
    folds: Annotated[int, Meta(ge=2, le=20)] = 5
    out_of_fold_rows: Annotated[int, Meta(ge=0)] = 20_000
