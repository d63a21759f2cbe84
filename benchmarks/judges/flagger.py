"""Flagger's judge, after fluxcd/flagger 15bd6ad5 (v1.44.0), traps included.

- A check fails if the success rate of the last minute is below the minimum, and also if there is no value or NaN
  (`pkg/controller/scheduler_metrics.go`, `pkg/metrics/providers/prometheus.go:170`).
- Failed checks add up and are never reset by a good one (`pkg/controller/scheduler.go:429-465`).
- The count is compared before the tick's own analysis: rollback comes one interval after the check that filled it.
- Promotion comes by the clock: after so many good checks, however few requests they saw.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .traces import STEP, Bools, Decision, Trace, decision
from .windows import success_rate

INTERVAL = 4  # steps: one minute, the code's default and that of the documentation's examples
GOOD_CHECKS = 10  # the documentation's canary: 10 iterations, or steps of 10 % up to 100


def failed_checks(trace: Trace, minimum: float = 0.99, width: int = 4) -> Bools:
    """(ticks, replications): did the check of tick 1, 2, ... fail?"""
    ticks = np.arange(INTERVAL, trace.steps + 1, INTERVAL)
    rate, _ = success_rate(trace, ticks, width)
    return ~(rate >= minimum)  # NaN and no value fail


def judge(failed: Bools, threshold: int, good_checks: int | None = None) -> Decision:
    """Ticks are minutes. ``threshold`` failed checks roll back at the next tick; ``good_checks`` good ones promote,
    or none do: then the analysis goes on as long as the trace."""
    return decision(_nth(failed, threshold) + 1, _nth(~failed, good_checks) if good_checks else None)


def _nth(hits: Bools, count: int) -> NDArray[np.float64]:
    """The tick (from 1) of the count-th hit, infinite if there are fewer."""
    reached = np.cumsum(hits, axis=0) >= count
    minute = INTERVAL * STEP / 60
    return np.where(reached.any(axis=0), (reached.argmax(axis=0) + 1) * minute, np.inf)
