"""From a false-alarm budget to thresholds. Flags and bundle decide, nothing is learned or stored."""

from __future__ import annotations

import msgspec


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """When a window counts as drifted, and when its data as bad.

    ``alpha`` is the probability of a false alarm that one window may spend on
    all its tests together. ``min_rows`` values must be present in a column
    before it is judged. Drift needs evidence (p-value at or below its share of
    ``alpha``) *and* effect (PSI above both ``min_psi`` and its own
    ``psi_quantile`` under no drift). Bad data need evidence and a share of
    missing or unknown values risen by ``max_excess``, or more than
    ``max_excess`` of the rows refused by the contract.
    """

    alpha: float
    min_rows: int = 100
    min_psi: float = 0.1
    psi_quantile: float = 0.99
    max_excess: float = 0.05


def spend(false_alarms_every: float, evaluation_every: float) -> float:
    """The alpha of one window, so that false alarms come once in ``false_alarms_every`` seconds at most.

    With a window evaluated each ``evaluation_every`` seconds there are
    ``false_alarms_every / evaluation_every`` of them in the period; by the union
    bound, which holds however dependent the windows are, the expected number of
    false alarms in the period is at most one when each spends the reciprocal.
    """
    if evaluation_every <= 0 or false_alarms_every < evaluation_every:
        raise ValueError("the budget's period must be at least the time between two evaluations")
    return evaluation_every / false_alarms_every


def share(alpha: float, tests: int) -> float:
    """The p-value at or below which one of ``tests`` counts as evidence (Bonferroni)."""
    return alpha / max(1, tests)
