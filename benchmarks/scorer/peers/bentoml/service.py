# ruff: noqa: D101, D102
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportUntypedClassDecorator=false
"""BentoML: one worker, an async endpoint (no thread per call), no metrics, no access log.

``BENCH_BATCH=1`` turns its adaptive batching on.
"""

from __future__ import annotations

import os
from typing import Any

import bentoml
import numpy as np
from fraud_model import from_environment

_NONCE = os.environ.get("BENCH_NONCE", "")
_SETTINGS: dict[str, Any] = {
    "workers": 1,
    "traffic": {"timeout": 30},
    "metrics": {"enabled": False},
    "logging": {"access": {"enabled": False}},
}

if os.environ.get("BENCH_BATCH") == "1":

    @bentoml.service(name="fraud", **_SETTINGS)
    class Fraud:  # pyright: ignore[reportRedeclaration]
        def __init__(self) -> None:
            self.model = from_environment()

        @bentoml.api(batchable=True, max_batch_size=64)
        async def predict(self, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
            x = np.asarray([d["ndarray"][0] for d in data], dtype=np.float64)
            scores = self.model.score(x).tolist()
            return [{"data": {"ndarray": [[p]]}, "nonce": _NONCE} for p in scores]

else:

    @bentoml.service(name="fraud", **_SETTINGS)
    class Fraud:
        def __init__(self) -> None:
            self.model = from_environment()

        @bentoml.api
        async def predict(self, data: dict[str, Any]) -> dict[str, Any]:
            out = self.model.answer(np.asarray(data["ndarray"], dtype=np.float64))
            out["nonce"] = _NONCE
            return out
