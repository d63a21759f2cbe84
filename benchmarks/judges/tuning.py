"""Rivals' knobs, set with knowledge that their users do not have: the least that keeps false rollbacks of a good
canary at or below 1 % an hour, at this very rate, share and base rate, without nuisance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from . import argo, flagger, others
from .traces import Cell, make

GOAL = 0.01
RUNS = 1500
NEVER = 10**6


@dataclass(frozen=True)
class Knobs:
    """``minimum`` is the success rate asked for: 1 - 2 base, the one an attentive user would write."""

    minimum: float
    flagger: int
    argo: int
    z: float


def _least(values: np.ndarray) -> int:
    """The least count that at most 1 % of the replications reach."""
    return int(np.quantile(values, 1 - GOAL, method="higher")) + 1


@lru_cache(maxsize=64)
def knobs(rate: float, share: float | str, base: float) -> Knobs:
    """Tuned on traces of their own (another salt)."""
    trace = make(Cell(rate, share, base), RUNS, salt=1)
    minimum = 1 - 2 * base
    # A rollback needs the threshold to be reached one tick before the end.
    failed = flagger.failed_checks(trace, minimum)[:-1].sum(axis=0)
    bad, _ = argo.failures(trace, minimum, 20, 4)
    peak = others.z_statistics(trace).max(axis=0)
    return Knobs(
        minimum,
        _least(failed),
        _least(bad.sum(axis=0)) - 1,
        float(np.quantile(peak, 1 - GOAL, method="higher")) + 1e-9,
    )
