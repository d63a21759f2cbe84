"""Is the canary's own share of bad units above a limit? It catches both arms being bad.

A mixture of Bernoulli likelihood ratios against the limit. For q > limit the mean of a batch's ratio is at
most 1 whenever the batch's mean share is at most the limit (``docs/evidence.md``), so that units need be
neither identical nor of a constant rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .grid import MULTIPLES

Floats = NDArray[np.float64]


def log_ratios(n: int, bad: int, limit: float, direction: int = 1) -> Floats:
    """Log likelihood ratio of each alternative (odds of the limit times ``grid.MULTIPLES``) against the
    limit.

    ``direction`` -1 tests "below the limit" instead.
    """
    odds: Floats = limit / (1 - limit) * np.asarray(MULTIPLES) ** float(direction)
    q = odds / (1 + odds)
    up: Floats = np.log(q / limit)
    down: Floats = np.log((1 - q) / (1 - limit))
    return float(bad) * up + float(n - bad) * down
