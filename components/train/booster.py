"""Fitting LightGBM, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.config import Training
from components.train.lean import import_lightgbm
from serinus.contract import Contract
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
    booster = lightgbm.train(
        parameters, data, num_boost_round=rounds or settings.rounds, valid_sets=against, callbacks=callbacks
    )
    best = booster.best_iteration if booster.best_iteration > 0 else booster.num_trees()
    return load(booster.model_to_string(num_iteration=best))
