"""The many-replications form of our judge decides as the shipped ``update`` and ``judge`` do, scrape by scrape."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.judges import ours
from benchmarks.judges.run import interval
from benchmarks.judges.traces import NUISANCES, STEP, Cell, Trace, make
from serinus.evidence import Counter, Guard, Plan, Sample, judge, start, update


def _shipped(trace: Trace, run: int) -> tuple[float, float, float]:
    """(minutes to rollback, minutes to clear, log e at the end) of the shipped code on one replication."""
    plan = Plan(guards=(Guard(name="errors", metric="errors"),))
    evidence, totals = start(plan), {"s": [0, 0], "c": [0, 0]}
    rollback = clear = math.inf
    log_e = 0.0
    for k in range(trace.steps + 1):
        if k:
            for arm, n, x, lost in (
                ("s", trace.n_s, trace.x_s, trace.lost_s),
                ("c", trace.n_c, trace.x_c, trace.lost_c),
            ):
                totals[arm] = [totals[arm][0] + int(n[k - 1, run]), totals[arm][1] + int(x[k - 1, run])]
                if lost[k - 1, run]:
                    totals[arm] = [0, 0]

        def scrape(arm: str, seen: np.ndarray, nan: np.ndarray, k: int = k) -> dict[str, dict[str, Counter]]:
            if not seen[k, run]:
                return {}
            n, x = (math.nan, math.nan) if nan[k, run] else totals[arm]
            return {arm: {"errors": Counter(n, (x,))}}

        sample = Sample(
            at=STEP * k,
            stable=scrape("s", trace.seen_s, trace.nan_s),
            canary=scrape("c", trace.seen_c, trace.nan_c),
        )
        evidence = update(plan, evidence, sample)
        verdict = judge(plan, evidence)
        log_e = verdict.log10_e * math.log(10)
        if verdict.outcome == "harm":
            rollback = min(rollback, k * STEP / 60)
        # Clearance is read from the guard: the verdict says harm where both hold.
        if verdict.guards[0].requests_to_clear == 0:
            clear = min(clear, k * STEP / 60)
    return rollback, clear, log_e


@pytest.mark.parametrize("nuisance", [n for n in NUISANCES if n not in ("resets", "pods30", "sticky")])
def test_it_decides_as_the_shipped_code(nuisance: str) -> None:
    cell = Cell(
        20.0, 0.25, 0.01, effect=2.0 if nuisance in ("none", "gaps") else 1.0, nuisance=nuisance, minutes=30.0
    )
    trace = make(cell, 2)
    fast = ours.judge(trace)
    for run in range(2):
        rollback, clear, log_e = _shipped(trace, run)
        assert fast.rollback[0.01][run] == rollback
        assert fast.cleared[run] == clear
        assert fast.log_e[run] == pytest.approx(log_e, abs=1e-3)


def test_the_same_seed_gives_the_same_trace() -> None:
    one, two = make(Cell(2.0), 5), make(Cell(2.0), 5)
    assert (one.x_s == two.x_s).all()
    assert not (make(Cell(2.0), 5, salt=1).x_s == one.x_s).all()


@pytest.mark.parametrize(("hits", "runs", "low", "high"), [(8, 2000, 0.0017, 0.0079), (0, 1000, 0.0, 0.0037)])
def test_intervals_are_clopper_and_pearsons(hits: int, runs: int, low: float, high: float) -> None:
    assert interval(hits, runs) == pytest.approx((low, high), abs=5e-5)
