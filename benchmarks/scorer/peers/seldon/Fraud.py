# ruff: noqa: D101, D102
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportUntypedBaseClass=false
"""The class that ``seldon-core-microservice`` hosts: its documented contract, ``predict(X, names, meta)``."""

from __future__ import annotations

import os
from typing import Any

from fraud_model import from_environment


class Fraud:
    def load(self) -> None:
        self.model = from_environment()

    def predict(self, X: Any, names: Any = None, meta: Any = None) -> Any:  # noqa: N803
        return self.model.score(X)

    def tags(self) -> dict[str, str]:
        return {"nonce": os.environ.get("BENCH_NONCE", "")}
