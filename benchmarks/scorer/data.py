"""Synthetic card payments of thirty numeric features, with a signal: seeded, nothing real, nothing missing.

Nothing is missing and nothing is a category because not every peer has a way to say so in JSON; all servers
get the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from serinus.contract import Contract, parse_contract

Floats = NDArray[np.float64]
FEATURES = 30
SEED = 20
_THIRD = FEATURES // 3
NAMES = tuple(
    [f"amount_{i}" for i in range(_THIRD)]
    + [f"count_{i}" for i in range(_THIRD)]
    + [f"ratio_{i}" for i in range(_THIRD)]
)


def rows(n: int, seed: int = SEED) -> Floats:
    """Feature vectors of shape (n, 30): amounts with cents, small counts, ratios with four decimals."""
    random = np.random.default_rng(seed)
    amounts = random.lognormal(3.5, 1.1, (n, _THIRD)).clip(0, 99_999).round(2)
    counts = random.poisson(np.linspace(1, 40, _THIRD), (n, _THIRD)).astype(np.float64)
    ratios = random.beta(2, 5, (n, _THIRD)).round(4)
    return np.hstack([amounts, counts, ratios])


def outcomes(x: Floats, seed: int = SEED) -> Floats:
    """0 or 1 of shape (n,), about 6 % ones: additive terms, interactions and noise."""
    random = np.random.default_rng([seed, 1])
    amounts, counts, ratios = np.split(x, 3, axis=1)
    logs = np.log1p(amounts) - 3.6
    logit = (
        -4.2
        + logs[:, :4] @ np.array([0.9, 0.5, -0.4, 0.3])
        + 0.15 * (counts[:, :3] - counts[:, :3].mean(0)) @ np.array([1.0, -0.7, 0.5])
        + (ratios[:, :4] - 0.28) @ np.array([4.0, -3.0, 2.0, 2.0])
        + 1.2 * logs[:, 0] * (ratios[:, 0] > 0.4)
        + 0.8 * (counts[:, 5] > 25) * logs[:, 1]
        + random.normal(0, 0.4, len(x))
    )
    return (random.random(len(x)) < 1 / (1 + np.exp(-logit))).astype(np.float64)


def contract(name: str, review_at: float, decline_at: float) -> Contract:
    """Every feature with a range, so that ours checks each value; the peers check none."""
    columns: dict[str, Any] = {n: {"type": "number", "min": 0, "max": 100_000} for n in NAMES}
    columns |= {n: {"type": "number", "min": 0, "max": 1} for n in NAMES if n.startswith("ratio")}
    return parse_contract(
        {
            "apiVersion": "serinus.io/v1",
            "kind": "DataContract",
            "name": name,
            "columns": {**columns, "fraud": {"type": "boolean"}},
            "label": {"column": "fraud", "positive": 1},
            "features": [{"name": n, "column": n, "reason": f"{n} is unusual"} for n in NAMES],
            "decision": {"review_at": review_at, "decline_at": decline_at, "max_reasons": 4},
        },
        where="benchmarks/scorer/data.py",
    )
