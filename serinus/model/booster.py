"""A LightGBM ensemble in its text format, which carries no code."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from serinus.errors import SerinusError

Floats = NDArray[np.float64]


class Ensemble:
    """Scores and exact explanations of a binary LightGBM booster.

    One thread per call: a scorer answers single rows, and OpenMP threads beyond
    a pod's CPU quota cost more than they give.
    """

    def __init__(self, text: str, *, features: int, where: str = "model.txt") -> None:
        try:
            booster = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise SerinusError(
                "SRN-MODEL-001",
                f"LightGBM cannot read the model ({error})",
                where=where,
                hint="The bundle was not written by serinus or is damaged; build it again.",
            ) from error
        if booster.num_feature() != features:
            raise SerinusError(
                "SRN-MODEL-002",
                f"the model reads {booster.num_feature()} features and the contract declares {features}",
                where=where,
                hint="Build the bundle again from one contract; model and contract must agree.",
            )
        self._booster: Any = booster
        self.trees: int = booster.num_trees()

    def probability(self, rows: Floats) -> Floats:
        """Raw probability of the bad outcome, shape (n,), for rows of shape (n, F)."""
        return np.asarray(self._booster.predict(rows, num_threads=1), dtype=np.float64)

    def contributions(self, rows: Floats) -> Floats:
        """Exact path-dependent TreeSHAP in log-odds, shape (n, F + 1); the last
        column is the base value and each row sums to the margin (Lundberg et
        al. 2020, Algorithm 2; LightGBM's ``pred_contrib``)."""
        return np.asarray(self._booster.predict(rows, pred_contrib=True, num_threads=1), dtype=np.float64)
