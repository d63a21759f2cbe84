"""The benchmark's own arithmetic: seeds, bounds, and who counts as the best rival."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.drift import alarms, report, worlds
from benchmarks.drift.ours import Replicas
from serinus.watching import Tally, build_baseline


@pytest.mark.parametrize("world", worlds.WORLDS)
def test_streams_are_reproducible_and_as_wide_as_said(world: str) -> None:
    a, b = worlds.Stream(world, 2, 7), worlds.Stream(world, 2, 7)
    assert a.reference(50).shape == b.reference(50).shape == (50, 2 * worlds.FEATURES)
    np.testing.assert_array_equal(a.next(30), b.next(30))


def test_run_lengths_have_exact_bounds_and_an_honest_verdict() -> None:
    none = alarms.row("s", "m", 100, 1000, 0)
    assert none.low == pytest.approx(1000 / 3.689, rel=1e-3)
    assert (none.high, none.kept) == (np.inf, "yes")
    assert alarms.row("s", "m", 100, 1000, 60).kept == "no"
    assert alarms.row("s", "m", 100, 1000, 9).kept == "not refuted"
    assert alarms.row("s", "m", 0, 1000, 9).kept == ""


def test_replicas_alarm_by_themselves() -> None:
    stream = worlds.Stream("gaussian", 3, 1, features=2)
    base = build_baseline([f"x{i}" for i in range(6)], stream.reference())
    watch, tally = Replicas(alarms.plan(100), base, 2), Tally(base)
    rows = stream.next()
    rows[:, 3] += 2
    tally.add(rows)
    evidence, both = watch.update(tally.take())
    assert evidence.tolist() == both.tolist() == [False, True, False]
    watch.reset(evidence)
    tally.add(stream.next())
    assert not watch.update(tally.take())[0].any()


def test_the_best_rival_is_the_soonest_and_among_those_the_surest() -> None:
    def row(monitor: str, median: str, found: str, mean: str) -> dict[str, str]:
        return {"monitor": monitor, "median": median, "found": found, "mean": mean}

    rows = [
        row("ours", "3", "1", "3"),
        row("a", "2", "0.8", "2"),
        row("b", "2", "1", "4"),
        row("c", "inf", "0", "inf"),
    ]
    mine, rival = report.best(rows)
    assert (mine["monitor"], rival["monitor"]) == ("ours", "b")
