# ruff: noqa: D102
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportUntypedBaseClass=false
"""What every peer "with reasons" does: one ``shap.TreeExplainer`` at start, ``shap_values`` on each request."""

from __future__ import annotations

import os
from typing import Any

import numpy as np


class Model:
    """The benchmark's model in the library it was made with; the file's name tells which.

    ``score`` takes (n, 30) and returns (n,) probabilities; ``reasons`` returns (n, 31) contributions, base last,
    in log-odds for LightGBM and in probability for the forest.
    """

    def __init__(self, path: str, explain: bool) -> None:
        if path.endswith(".joblib"):
            import joblib

            self._model: Any = joblib.load(path)
            self.score = self._forest
        else:
            import lightgbm

            self._model = lightgbm.Booster(model_file=path)
            self.score = self._booster
        self._explainer: Any = None
        if explain:
            import shap

            self._explainer = shap.TreeExplainer(self._model)

    def reasons(self, x: Any) -> Any:
        values = np.asarray(self._explainer.shap_values(x))
        base = np.ravel(self._explainer.expected_value)[-1]
        if values.ndim == 3:
            values = values[:, :, 1]
        return np.column_stack([values, np.full(len(values), base)])

    def answer(self, x: Any) -> dict[str, Any]:
        """The answer of a peer whose answers we write: one probability per row, with contributions if asked for."""
        out: dict[str, Any] = {
            "data": {"names": ["probability"], "ndarray": [[p] for p in self.score(x).tolist()]}
        }
        if self._explainer is not None:
            out["contributions"] = self.reasons(x).tolist()
        return out

    def _booster(self, x: Any) -> Any:
        return self._model.predict(x, num_threads=1)

    def _forest(self, x: Any) -> Any:
        return self._model.predict_proba(x)[:, 1]


def from_environment() -> Model:
    """The model that ``BENCH_MODEL`` names, explained if ``BENCH_EXPLAIN`` is 1."""
    return Model(os.environ["BENCH_MODEL"], os.environ.get("BENCH_EXPLAIN") == "1")
