"""From a false-alarm budget to plans and thresholds. Flags and bundle decide, nothing is learned or stored."""

from __future__ import annotations

from typing import Literal

import msgspec

from serinus.watching import Plan

MAX_PREDICTORS = 8
"""Predictors are configured, so few; a stranger's header must not open comparisons without end."""
PRIMARY_SHARE = 0.5
"""What the first predictor, the champion, may spend of the model's budget."""
OTHER_SHARE = 0.5 / (2 * MAX_PREDICTORS)
"""What every other comparison may spend: of a predictor with the reference, or with the champion."""

Decides = Literal["evidence", "tests"]


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """When traffic counts as drifted, and when its data as bad.

    Args:
        budget: seconds between two false alarms of the model, on average at least.
        look: seconds between two looks. A look is closed by the clock, so the budget holds at any traffic.
        decides: ``evidence`` of the e-detector, or the two-sample ``tests`` of the look's window.
        min_psi: effect below which a shift is no drift.
        max_excess: rise in the share of missing, unknown, out-of-range or refused values that is bad data.
        tolerance, dependence: see ``serinus.watching.Plan``.
        p_value: alpha of a window's tests, in place of the budget's.
        min_rows: values below which a column's window is not tested.
        psi_quantile: the PSI that this share of undrifted windows stays below must be exceeded too.
    """

    budget: float = 90 * 86_400.0
    look: float = 300.0
    decides: Decides = "evidence"
    min_psi: float = 0.1
    max_excess: float = 0.005
    tolerance: float = 0.005
    dependence: float = 1.0
    p_value: float | None = None
    min_rows: int = 100
    psi_quantile: float = 0.99

    @property
    def alpha(self) -> float:
        """What all tests of one window may spend together."""
        return spend(self.budget, self.look) if self.p_value is None else self.p_value

    def plan(self, share: float) -> Plan:
        """The e-detector's plan for a comparison that may spend ``share`` of the budget.

        False alarms add up at most: with shares that add to one the model has one in ``budget``.
        """
        return Plan(
            budget=f"{self.budget / share:.3f}s",
            look=f"{self.look:.3f}s",
            tolerance=self.tolerance,
            dependence=self.dependence,
            min_psi=self.min_psi,
            min_excess=self.max_excess,
        )


def spend(false_alarms_every: float, look: float) -> float:
    """The alpha of one window, so that false alarms come once in ``false_alarms_every`` seconds at most.

    With a window each ``look`` seconds there are ``false_alarms_every / look`` of them in the period; by the union
    bound, which holds however dependent the windows are, the expected number of false alarms in the period is at most
    one when each spends the reciprocal.

    Raises:
        ValueError: if the period is shorter than a look.
    """
    if look <= 0 or false_alarms_every < look:
        raise ValueError("the budget's period must be at least the time between two looks")
    return look / false_alarms_every


def share(alpha: float, tests: int) -> float:
    """The p-value at or below which one of ``tests`` counts as evidence (Bonferroni)."""
    return alpha / max(1, tests)
