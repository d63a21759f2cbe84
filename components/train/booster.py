"""Fitting LightGBM, the same on every machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.config import Training
from components.config.training import Lightgbm
from components.train.lean import import_lightgbm
from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.model.portable import is_portable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """A model in LightGBM's text format, its trees, and the booster it came from."""

    text: str
    trees: int
    booster: Any

    def probability(self, rows: Floats) -> Floats:
        """Raw probability of the bad outcome, shape (n,)."""
        return np.asarray(self.booster.predict(rows), dtype=np.float64)

    def margin(self, rows: Floats) -> Floats:
        """What the contributions of a row sum to: log-odds, shape (n,)."""
        return np.asarray(self.booster.predict(rows, raw_score=True), dtype=np.float64)

    def contributions(self, rows: Floats) -> Floats:
        """Exact TreeSHAP in log-odds, shape (n, F + 1), the base value last."""
        return np.asarray(self.booster.predict(rows, pred_contrib=True), dtype=np.float64)

    def yardstick(self, rows: Floats) -> Floats:
        """Contributions that the serving kernel had no part in: LightGBM's own."""
        return self.contributions(rows)


class Model(Protocol):
    """A trained model, whatever fitted it."""

    @property
    def text(self) -> str:
        """As ``serinus.model`` reads it."""
        ...

    @property
    def trees(self) -> int:
        """Number of trees; 0 for a linear model."""
        ...

    def probability(self, rows: Floats) -> Floats:
        """Raw probability of the bad outcome, shape (n,)."""
        ...

    def margin(self, rows: Floats) -> Floats:
        """What the contributions of a row sum to, shape (n,)."""
        ...

    def contributions(self, rows: Floats) -> Floats:
        """Exact contributions, shape (n, F + 1), the base value last."""
        ...

    def yardstick(self, rows: Floats) -> Floats:
        """The same, by code that the serving kernel has no part in."""
        ...


def load(text: str) -> Model:
    """A model from its text. Scores with all cores; a row's score does not depend on their number."""
    if is_portable(text):
        from components.train.estimators import FittedEstimator

        return FittedEstimator(text)
    booster = import_lightgbm().Booster(model_str=text)
    return Fitted(text, booster.num_trees(), booster)


def fit(
    contract: Contract,
    settings: Training,
    rows: Floats,
    outcome: Floats,
    *,
    weight: Floats | None = None,
    validation: tuple[Floats, Floats] | None = None,
    rounds: int | None = None,
) -> Model:
    """Train on rows (n, F); with ``validation`` stop early, at the lowest log loss (LightGBM).

    ``deterministic`` with a fixed histogram layout makes the trees independent of the
    number of threads (LightGBM parameters, ``deterministic``); the number itself is
    left to OpenMP, so that it does not stand in the model's text.

    Raises:
        SerinusError: ``SRN-PIPELINE-043`` LightGBM refuses these parameters or rows.
    """
    if settings.algorithm != "lightgbm":
        from components.train.estimators import fit_estimator

        return fit_estimator(contract, settings, rows, outcome, weight=weight)
    lightgbm = import_lightgbm()
    names = list(contract.feature_names)
    categorical = [i for i, feature in enumerate(contract.features) if contract.is_categorical(feature)]
    monotone = [0 if i in categorical else feature.monotone for i, feature in enumerate(contract.features)]
    parameters: dict[str, Any] = {
        "objective": "binary",
        "metric": "binary_logloss",
        **msgspec.to_builtins(settings.parameters),
        "seed": settings.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    if any(monotone):
        parameters["monotone_constraints"] = monotone
    data = lightgbm.Dataset(
        rows, outcome, weight=weight, feature_name=names, categorical_feature=categorical, params=parameters
    )
    callbacks: list[Any] = []
    against: list[Any] = []
    if validation is not None and settings.early_stopping:
        against = [lightgbm.Dataset(*validation, reference=data)]
        callbacks = [lightgbm.early_stopping(settings.early_stopping, verbose=False)]
    most = rounds or settings.rounds
    try:
        booster = lightgbm.train(
            parameters, data, num_boost_round=most, valid_sets=against, callbacks=callbacks
        )
    except lightgbm.basic.LightGBMError as error:
        raise refused(str(error), rows=len(rows), where=contract.name) from error
    best = booster.best_iteration if booster.best_iteration > 0 else booster.num_trees()
    return load(booster.model_to_string(num_iteration=best))


def refused(message: str, *, rows: int, where: str) -> SerinusError:
    """What LightGBM's last words mean in the terms of config and data (``SRN-PIPELINE-043``).

    Args:
        message: of its error: ``Check failed: (num_leaves) <= (131072) at …/config_auto.cpp, line 353 .``
        rows: that it was to learn from.
    """
    said = message.partition(" at /")[0].strip()
    name = match[1] if (match := re.match(r"Check failed: \((\w+)\)", said)) else ""
    if name in Lightgbm.__struct_fields__:
        hint = f"Set training.parameters.{name} in model.yaml to what it takes."
    elif name == "num_data":
        hint = (
            "No row is left to learn from: give more records, raise split.train, or raise "
            f"training.parameters.bagging_fraction, of which {rows:,} rows are too few."
        )
    elif "best_split_info" in said:
        hint = (
            "A split had an empty side: raise training.parameters.min_sum_hessian_in_leaf or min_data_in_leaf; "
            "very unequal weights (training.mitigation) are the usual cause."
        )
    else:
        hint = "Look at training.parameters in model.yaml, and at the features' values in the data profile."
    return SerinusError(
        "SRN-PIPELINE-043", f"LightGBM refused to train on {rows:,} rows: {said}", where=where, hint=hint
    )
