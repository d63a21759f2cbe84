"""A LightGBM ensemble in the library itself: the kernel's fallback and its yardstick."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from serinus.errors import SerinusError
from serinus.model.lean import import_lightgbm

Floats = NDArray[np.float64]


class LibraryEnsemble:
    """Scores and exact explanations of a binary LightGBM booster, an ``Ensemble``.

    One thread per call: a scorer answers single rows, and OpenMP threads beyond
    a pod's CPU quota cost more than they give. Give it only a text that
    ``parse_lightgbm`` took: the library does not check what it reads.
    """

    backend: Literal["native", "library"] = "library"

    def __init__(self, text: str, *, where: str = "model.txt") -> None:
        try:
            booster = import_lightgbm().Booster(model_str=text)
        except Exception as error:  # LightGBMError is known only once LightGBM is imported
            raise SerinusError(
                "SRN-MODEL-001",
                f"LightGBM cannot read the model ({error})",
                where=where,
                hint="The bundle was not written by serinus or is damaged; build it again.",
            ) from error
        self._booster: Any = booster
        self.features: int = booster.num_feature()
        self.trees: int = booster.num_trees()

    def probability_of(self, row: Floats, /) -> float:
        """As ``Ensemble``."""
        return float(self.probability(row.reshape(1, -1))[0])

    def probability(self, rows: Floats) -> Floats:
        """As ``Ensemble``."""
        return np.asarray(self._booster.predict(rows, num_threads=1), dtype=np.float64)

    def contributions_of(self, row: Floats, /) -> list[float]:
        """As ``Ensemble``."""
        return self.contributions(row.reshape(1, -1))[0].tolist()

    def contributions(self, rows: Floats) -> Floats:
        """As ``Ensemble``."""
        return np.asarray(self._booster.predict(rows, pred_contrib=True, num_threads=1), dtype=np.float64)
