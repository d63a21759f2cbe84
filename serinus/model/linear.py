"""A logistic regression, scored and explained exactly."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serinus.model.portable import PortableLinear, damaged

Floats = NDArray[np.float64]


class LinearEnsemble:
    """An ``Ensemble`` of one linear model in log-odds.

    The contribution of a feature is what it adds less what it adds on average,
    ``w (x - mean)``: the Shapley value of a linear model whose features are taken as
    independent (Strumbelj and Kononenko 2014). A missing value counts as the mean.

    Raises:
        SerinusError: ``SRN-MODEL-003`` if a number of it is not finite.
    """

    backend: Literal["native", "library"] = "native"
    trees = 0

    def __init__(self, model: PortableLinear, *, where: str = "model.txt") -> None:
        numbers = [model.intercept, *(n for t in model.terms for n in (t.weight, t.mean, *t.levels))]
        if not all(math.isfinite(n) for n in numbers):
            raise damaged("a weight is not finite", where)
        self.features = len(model.terms)
        self._terms = [(i, t.weight, t.mean, t.levels or None) for i, t in enumerate(model.terms)]
        self._base = model.intercept + sum(t.mean if t.levels else t.weight * t.mean for t in model.terms)

    def probability_of(self, row: Floats, /) -> float:
        """As ``Ensemble``."""
        return _logistic(math.fsum(self.contributions_of(row)))

    def contributions_of(self, row: Floats, /) -> list[float]:
        """As ``Ensemble``: F contributions in log-odds and the base value."""
        values: list[float] = row.tolist()
        found = [_of(values[i], weight, mean, levels) for i, weight, mean, levels in self._terms]
        found.append(self._base)
        return found

    def contributions(self, rows: Floats) -> Floats:
        """As ``Ensemble``."""
        out = np.empty((rows.shape[0], self.features + 1))
        for i, weight, mean, levels in self._terms:
            column = rows[:, i]
            if levels is None:
                out[:, i] = np.where(np.isnan(column), 0.0, weight * (column - mean))
            else:
                table = np.array([*levels, mean])
                known = (column >= 0) & (column < len(levels))
                out[:, i] = table[np.where(known, column, len(levels)).astype(np.int64)] - mean
        out[:, -1] = self._base
        return out

    def probability(self, rows: Floats) -> Floats:
        """As ``Ensemble``."""
        found = self.contributions(rows)
        # Summed exactly, as one row is: a score must not depend on the company it comes in.
        return np.array([_logistic(math.fsum(row)) for row in found.tolist()])


def _of(value: float, weight: float, mean: float, levels: tuple[float, ...] | None) -> float:
    if levels is None:
        return weight * (value - mean) if value == value else 0.0
    return levels[int(value)] - mean if 0 <= value < len(levels) else 0.0


def _logistic(margin: float) -> float:
    if margin >= 0:
        return 1.0 / (1.0 + math.exp(-margin))
    power = math.exp(margin)
    return power / (1.0 + power)
