"""Several guards, one verdict: the weighted mean of e-values, and who is to blame.

A mean of e-values is an e-value whatever their dependence (Vovk and Wang 2021), so guards need no
correction for being many. Blame is a closed test: a guard is a culprit if the mean over *every* set of
guards that contains it reaches 1/alpha; then the chance that any innocent guard is ever named is at most
alpha (e-Holm).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def log_mean(log_e: Sequence[float], weights: Sequence[float]) -> float:
    """Log of the weighted mean of exp(log_e)."""
    if not log_e:
        return 0.0
    shares = np.asarray(weights) / np.sum(weights)
    return float(np.logaddexp.reduce(np.asarray(log_e) + np.log(shares)))


def adjusted(log_e: Sequence[float], weights: Sequence[float]) -> NDArray[np.float64]:
    """Log of each guard's adjusted e-value: the least weighted mean over the sets that contain it.

    The set that gives it holds the guard and the lowest of the others, so prefixes of the sorted list
    suffice.
    """
    values, shares = np.asarray(log_e, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    out = np.empty(len(values))
    for guard in range(len(values)):
        others = [i for i in order if i != guard]
        best = values[guard]
        for size in range(1, len(others) + 1):
            chosen = [guard, *others[:size]]
            best = min(best, log_mean(values[chosen].tolist(), shares[chosen].tolist()))
        out[guard] = best
    return out


def culprits(log_e: Sequence[float], weights: Sequence[float], log_threshold: float) -> list[int]:
    """Indices of the guards that are to blame, worst first."""
    scores = adjusted(log_e, weights)
    blamed = [i for i in range(len(scores)) if scores[i] >= log_threshold]
    return sorted(blamed, key=lambda i: -log_e[i])
