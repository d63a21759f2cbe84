"""Fitting LightGBM, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.config import Training
from components.train.lean import import_lightgbm
from serinus.contract import Contract

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

    def contributions(self, rows: Floats) -> Floats:
        """Exact TreeSHAP in log-odds, shape (n, F + 1), the base value last."""
        return np.asarray(self.booster.predict(rows, pred_contrib=True), dtype=np.float64)


def load(text: str) -> Fitted:
    """A model from its text. Scores with all cores; a row's score does not depend on their number."""
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
) -> Fitted:
    """Train on rows (n, F); with ``validation`` stop early, at the lowest log loss.

    ``deterministic`` with a fixed histogram layout makes the trees independent of the
    number of threads (LightGBM parameters, ``deterministic``); the number itself is
    left to OpenMP, so that it does not stand in the model's text.
    """
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
