"""Argo Rollouts' judge, after argoproj/argo-rollouts 9f8d111d (v1.9.1/1.10.0-rc1), traps included.

- With a success condition alone a measurement fails if the condition is not true, NaN included; with a failure
  condition alone it succeeds if that is not true, NaN included; with both, neither true is Inconclusive
  (`utils/evaluate/evaluate.go:18-60`). No sample at all is an error of the expression.
- A run fails when failures *exceed* failureLimit, errs when consecutive errors exceed consecutiveErrorLimit (4;
  repeated after 10 s), and is inconclusive likewise (`analysis/analysis.go`, assessMetricFailureInconclusiveOrError).
- A run that is stopped before any measurement is Successful (assessMetricStatus).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from .traces import STEP, Bools, Decision, Trace, decision
from .windows import success_rate

Phase = Literal["Successful", "Failed", "Inconclusive", "Error", "Running", "Pending"]
ERROR_LIMIT = 4


def measure(value: float | None, success: float | None, failure: float | None) -> Phase:
    """One measurement of `result >= success` and `result < failure`; None for a condition that is not given."""
    if value is None and (success is not None or failure is not None):
        return "Error"
    good = success is not None and value is not None and value >= success
    bad = failure is not None and value is not None and value < failure
    if success is None and failure is None:
        return "Successful"
    if failure is None:
        bad = not good
    if success is None:
        good = not bad
    return "Failed" if bad else "Successful" if good else "Inconclusive"


def assess(
    phases: list[Phase],
    *,
    failure_limit: int = 0,
    inconclusive_limit: int = 0,
    count: int | None = None,
    terminating: bool = False,
    error_limit: int = ERROR_LIMIT,
) -> Phase:
    """The phase of a metric after these measurements."""
    if not phases:
        return "Successful" if terminating else "Pending"
    errors = 0
    for phase in reversed(phases):
        if phase != "Error":
            break
        errors += 1
    result: Phase | None = None
    if failure_limit >= 0 and phases.count("Failed") > failure_limit:
        result = "Failed"
    if phases.count("Inconclusive") > inconclusive_limit:
        result = "Inconclusive"
    if errors > error_limit:
        result = "Error"
    if result is not None:
        return result
    if count is not None and len(phases) - phases.count("Error") >= count:
        return "Successful"
    return "Successful" if terminating else "Running"


def failures(trace: Trace, success: float, width: int, every: int) -> tuple[Bools, Bools]:
    """(ticks, replications): measurements that failed, and those that erred for want of any sample."""
    ticks = np.arange(every, trace.steps + 1, every)
    rate, empty = success_rate(trace, ticks, width)
    return ~(rate >= success) & ~empty, empty


def judge(failed: Bools, erred: Bools, failure_limit: int, every: int, count: int | None = None) -> Decision:
    """Ticks are ``every`` steps apart. An error is repeated five times in 50 s, with the same answer: it aborts."""
    minute = every * STEP / 60
    ticks = (np.arange(len(failed)) + 1)[:, None] * minute
    over = np.cumsum(failed, axis=0) > failure_limit
    # 40 s of retries until the fifth consecutive error; a scrape may come back in between, so only if it persists.
    persists = erred & np.vstack([erred[1:], np.zeros((1, erred.shape[1]), bool)])
    stop = np.where(over, ticks, np.inf).min(axis=0)
    stop = np.minimum(stop, np.where(persists, ticks + 40 / 60, np.inf).min(axis=0))
    if count is None:
        return decision(stop)
    done = np.cumsum(~erred, axis=0) >= count
    promote = np.where(done.any(axis=0), (done.argmax(axis=0) + 1) * minute, np.inf)
    return decision(stop, promote)
