"""The shipped evidence on many replications at once.

It calls the shipped likelihood, grid, onset weights and absolute test, with one row per replication where the shipped
state has one row per edge; ``tests/unit/judges`` holds it to ``update`` and ``judge``, scrape by scrape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serinus.evidence import Guard, absolute, clearing, primitive
from serinus.evidence.grid import LOG_PRIOR, grid_of
from serinus.evidence.updating import unopened

from .traces import STEP, Bools, Trace

Floats = NDArray[np.float64]


@dataclass
class Counters:
    """What counter deltas see: which units of each arm become evidence at each scrape (``deltas.py``'s rules)."""

    have: Bools
    pending: NDArray[np.int64]  # (2, runs): units, bad units since the arm's baseline
    lost: Bools


def batches(trace: Trace) -> tuple[NDArray[np.int64], ...]:
    """(n_s, n_c, x_s, x_c), each (steps, replications), as they enter the evidence."""
    runs, out = trace.runs, [np.zeros_like(trace.n_s) for _ in range(4)]
    stable = Counters(np.ones(runs, bool), np.zeros((2, runs), np.int64), np.zeros(runs, bool))
    canary = Counters(np.ones(runs, bool), np.zeros((2, runs), np.int64), np.zeros(runs, bool))
    arms = (
        (stable, trace.n_s, trace.x_s, trace.lost_s, trace.seen_s & ~trace.nan_s),
        (canary, trace.n_c, trace.x_c, trace.lost_c, trace.seen_c & ~trace.nan_c),
    )
    for k in range(trace.steps):
        for arm, n, x, lost, _ in arms:
            arm.pending += np.stack([n[k], x[k]])
            arm.lost |= lost[k]
        saw_s, saw_c = arms[0][4][k + 1], arms[1][4][k + 1]
        # The canary is there, or it was not there before either: the batch closes. Otherwise it is bridged.
        closes = saw_c | (saw_s & ~canary.have)
        for i, (arm, _, _, _, seen) in enumerate(arms):
            saw = seen[k + 1]
            counts = closes & saw & arm.have & ~arm.lost
            out[i][k], out[2 + i][k] = np.where(counts, arm.pending, 0)
            arm.have = np.where(closes, saw, arm.have)
            arm.pending = np.where(closes, 0, arm.pending)
            arm.lost &= ~closes
    return tuple(out)


@dataclass
class Result:
    """Minutes until the evidence reached 1/alpha, by alpha, and until the guard cleared; the evidence at the end."""

    rollback: dict[float, Floats]
    log_e: Floats
    cleared: Floats


def judge(
    trace: Trace,
    *,
    alphas: tuple[float, ...] = (0.01, 0.05),
    beta: float = 0.05,
    margin: float = 1.25,
    margin_absolute: float = 0.005,
    epoch: float = 300.0,
    promotes: bool = True,
) -> Result:
    """One guard on errors. Without ``promotes`` the guard's clearance is not followed."""
    grid = grid_of(
        Guard(name="errors", metric="errors", margin_ratio=margin, margin_absolute=margin_absolute)
    )
    counts = batches(trace)
    runs = trace.runs
    harm = np.full((runs, len(LOG_PRIOR)), math.log(1 - unopened(0)))
    curve = np.zeros((runs, len(grid.thetas)))
    excess = np.zeros(runs)
    past_n, past_x = np.zeros(runs), np.zeros(runs)
    opened, log_e = 0, np.zeros(runs)
    rollback = {alpha: np.full(runs, np.inf) for alpha in alphas}
    cleared = np.full(runs, np.inf)
    alternatives, at_margin = list(grid.alternatives[0]), grid.margins[0]
    for k in range(trace.steps):
        n_s, n_c, x_s, x_c = (part[k] for part in counts)
        started = int(k * STEP // epoch)
        if started > opened:
            harm = np.logaddexp(harm, math.log(unopened(opened) - unopened(started)))
            opened = started
        told = np.flatnonzero((x_s + x_c > 0) & (n_s > 0) & (n_c > 0))
        if len(told):
            gain = primitive.log_likelihoods(n_c[told], n_s[told], x_c[told], x_s[told], grid.thetas)
            gain -= gain[:, [at_margin]]
            harm[told] += gain[:, alternatives]
            curve[told] += gain
        log_e = np.logaddexp(np.logaddexp.reduce(harm + LOG_PRIOR, axis=1), math.log(unopened(opened)))
        minute = (k + 1) * STEP / 60
        for alpha in alphas:
            first = np.isinf(rollback[alpha]) & (log_e >= -math.log(alpha))
            rollback[alpha][first] = minute
        if promotes:
            some = np.flatnonzero(n_s + n_c > 0)
            f_c, f_s, g_c, g_s = (part[some].astype(np.float64) for part in (n_c, n_s, x_c, x_s))
            limit = np.full(len(some), margin_absolute)
            excess[some] += absolute.log_e(f_c, f_s, g_c, g_s, past_n[some], past_x[some], limit)
            past_n, past_x = past_n + n_s + n_c, past_x + x_s + x_c
            clear = np.logaddexp(clearing.log_below(curve, at_margin, 1), excess) - math.log(2)
            cleared[np.isinf(cleared) & (clear >= -math.log(beta))] = minute
    return Result(rollback, log_e, cleared)
