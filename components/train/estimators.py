"""Fitting scikit-learn's classifiers. What leaves this step is their numbers, never an object."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.config import Training
from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.model.ensemble import Ensemble, load_ensemble
from serinus.model.export import export
from serinus.model.plain import PlainTrees
from serinus.model.portable import PortableLinear, Term, parse_portable, write_linear

Floats = NDArray[np.float64]
AGREES = 1e-9


class FittedEstimator:
    """A trained model from its portable text: scored here by what will serve it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._model = parse_portable(text, where="model.txt")

    @cached_property
    def _ensemble(self) -> Ensemble:
        features = len(self._model.terms) if isinstance(self._model, PortableLinear) else self._model.features
        return load_ensemble(self.text, features=features, warn=lambda warning: None)

    @property
    def trees(self) -> int:
        """Number of trees; 0 for a linear model."""
        return self._ensemble.trees

    def probability(self, rows: Floats) -> Floats:
        """Raw probability of the bad outcome, shape (n,)."""
        return self._ensemble.probability(np.ascontiguousarray(rows, dtype=np.float64))

    def margin(self, rows: Floats) -> Floats:
        """What contributions sum to: a forest's probability itself, else log-odds; shape (n,)."""
        probability = self.probability(rows)
        if not isinstance(self._model, PortableLinear) and self._model.link == "identity":
            return probability
        with np.errstate(divide="ignore"):
            return np.log(probability) - np.log1p(-probability)

    def contributions(self, rows: Floats) -> Floats:
        """Exact contributions, shape (n, F + 1), the base value last."""
        return self._ensemble.contributions(np.ascontiguousarray(rows, dtype=np.float64))

    def yardstick(self, rows: Floats) -> Floats:
        """The same in numpy by the definition of Shapley values; slow."""
        if isinstance(self._model, PortableLinear):
            return self.contributions(rows)
        return PlainTrees(self._model.trees(), self._model.link).contributions(rows)


def fit_estimator(
    contract: Contract, settings: Training, rows: Floats, outcome: Floats, *, weight: Floats | None
) -> FittedEstimator:
    """Train on encoded rows (n, F) by ``settings.algorithm``; a category counts by its code.

    Raises:
        SerinusError: ``SRN-PIPELINE-038`` if the algorithm takes no missing values and there
            are some; ``-039`` if the exported model does not score as the estimator does.
    """
    if settings.algorithm == "logistic_regression":
        return FittedEstimator(write_linear(_logistic(contract, settings, rows, outcome, weight)))
    if settings.algorithm == "gradient_boosting" and np.isnan(rows).any():
        column = contract.feature_names[int(np.isnan(rows).any(axis=0).argmax())]
        raise SerinusError(
            "SRN-PIPELINE-038",
            f"gradient_boosting takes no missing values, and {column} has some",
            where="training.algorithm",
            hint="Use hist_gradient_boosting, a forest or lightgbm, which do, or refuse them in the contract.",
        )
    estimator = _estimator(settings)
    estimator.fit(rows, outcome.astype(np.int64), sample_weight=weight)
    fitted = FittedEstimator(export(estimator))
    checked = rows[:: max(1, rows.shape[0] // 1000)]
    worst = float(np.max(np.abs(fitted.probability(checked) - estimator.predict_proba(checked)[:, 1])))
    if not worst <= AGREES:
        raise SerinusError(
            "SRN-PIPELINE-039",
            f"the exported model differs from scikit-learn's own by {worst:g}",
            where=f"training.algorithm {settings.algorithm}",
            hint="This is a fault of serinus or an untried version of scikit-learn; please report it.",
        )
    return fitted


def _estimator(settings: Training) -> Any:
    from sklearn import ensemble

    common: dict[str, Any] = {"random_state": settings.seed}
    forest, boosting = msgspec.to_builtins(settings.forest), settings.boosting
    match settings.algorithm:
        case "random_forest":
            return ensemble.RandomForestClassifier(**common, **forest, n_jobs=-1)
        case "extra_trees":
            return ensemble.ExtraTreesClassifier(**common, **forest, n_jobs=-1)
        case "gradient_boosting":
            return ensemble.GradientBoostingClassifier(
                **common,
                n_estimators=settings.rounds,
                learning_rate=boosting.learning_rate,
                max_depth=boosting.max_depth,
                min_samples_leaf=boosting.min_samples_leaf,
                subsample=boosting.subsample,
            )
        case _:
            # The validation rows are for calibration here; how many rounds is said in the config.
            common["early_stopping"] = False
            return ensemble.HistGradientBoostingClassifier(
                **common,
                max_iter=settings.rounds,
                learning_rate=boosting.learning_rate,
                max_depth=boosting.max_depth,
                min_samples_leaf=boosting.min_samples_leaf,
                l2_regularization=boosting.l2_regularization,
            )


def _logistic(
    contract: Contract, settings: Training, rows: Floats, outcome: Floats, weight: Floats | None
) -> PortableLinear:
    """Numbers scaled, levels one by one, missing values at the mean; folded back to the columns' own units."""
    from sklearn.linear_model import LogisticRegression

    columns: list[Floats] = []
    plan: list[tuple[int, float, float]] = []
    for i, feature in enumerate(contract.features):
        column = rows[:, i]
        present = column[~np.isnan(column)]
        if contract.is_categorical(feature):
            count = int(present.max(initial=-1)) + 1
            for level in range(count):
                columns.append((column == level).astype(np.float64))
            plan.append((count, 0.0, 1.0))
        else:
            mean = float(present.mean()) if present.size else 0.0
            scale = float(present.std()) or 1.0 if present.size else 1.0
            columns.append((np.where(np.isnan(column), mean, column) - mean) / scale)
            plan.append((-1, mean, scale))
    design = np.column_stack(columns)
    fitted = LogisticRegression(C=settings.logistic.c, max_iter=5000, tol=1e-8).fit(
        design, outcome.astype(np.int64), sample_weight=weight
    )
    weights, intercept = fitted.coef_[0].tolist(), float(fitted.intercept_[0])
    terms: list[Term] = []
    at = 0
    for i, (count, mean, scale) in enumerate(plan):
        if count < 0:
            # A column that never varied has a scale of 1 and a weight of 0.
            term = Term(weight=weights[at] / scale, mean=mean)
            intercept -= term.weight * mean
            at += 1
        else:
            levels = tuple(weights[at : at + count])
            at += count
            known = rows[:, i][~np.isnan(rows[:, i])].astype(np.int64)
            term = Term(levels=levels, mean=float(np.mean(np.array(levels)[known])) if known.size else 0.0)
        terms.append(term)
    return PortableLinear(intercept=intercept, terms=tuple(terms))
