"""Champion against canary at the same hour."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from serinus.errors import SerinusError
from serinus.watching import PairDetector, PairReport, Plan, Sketch, Tally

from . import worlds

BASE = worlds.baseline()
WEEK = Plan(budget="7d", look="1h")


def _sketch(rng: np.random.Generator, n: int, hour: float, by: float, tilt: float) -> Sketch:
    rows: NDArray[np.float64] = worlds.draw(rng, n)
    rows[:, 1] += hour + by
    tally = Tally(BASE)
    tally.add(rows)
    tally.add_scores(rng.beta(1, 8 - tilt, n))
    return tally.take()


def _run(by: float = 0.0, tilt: float = 0.0, looks: int = 30, seed: int = 1) -> PairReport:
    rng, watch = np.random.default_rng(seed), PairDetector(WEEK, BASE)
    evidence = watch.start()
    for k in range(looks):
        hour = 15 * np.sin(k)  # far beyond what the reference has seen, in both
        evidence = watch.update(evidence, _sketch(rng, 900, hour, 0, 0), _sketch(rng, 300, hour, by, tilt))
    return watch.judge(evidence)


def test_the_time_of_day_cancels() -> None:
    report = _run(looks=60)
    assert report.status == "stable"
    assert report.log10_e < report.threshold_log10 - 1


def test_another_input_or_another_score_is_found_and_named() -> None:
    assert _run(by=6).drifted == ("age",)
    assert _run(tilt=4).drifted == ("model score",)


def test_thin_canaries_wait_and_say_no_data() -> None:
    rng, watch = np.random.default_rng(1), PairDetector(WEEK, BASE)
    evidence = watch.update(watch.start(), _sketch(rng, 900, 0, 0, 0), _sketch(rng, 20, 0, 6, 0))
    assert watch.judge(evidence).status == "no_data"
    assert any(evidence.waiting), "they are kept for the next look"


def test_the_mean_of_a_look_is_at_most_one_within_the_margin() -> None:
    rng, watch = np.random.default_rng(5), PairDetector(WEEK, BASE, margin=1.0)
    start, total = watch.start(), []
    for _ in range(300):
        after = watch.update(start, _sketch(rng, 300, 0, 0, 0), _sketch(rng, 300, 0, 0, 0))
        total.append(np.exp(np.frombuffer(after.logs, "<f4").astype(float)))
    # Clipped at one, so the mean may exceed one by what losses are cut off: never by more than one.
    assert np.mean(total) < 2


def test_other_baselines_are_refused() -> None:
    other = worlds.baseline(seed=9)
    watch = PairDetector(WEEK, BASE)
    with pytest.raises(SerinusError, match="SRN-WATCHING-002"):
        watch.update(watch.start(), Tally(other).take(), Tally(BASE).take())
    with pytest.raises(SerinusError, match="SRN-WATCHING-002"):
        watch.judge(PairDetector(WEEK, other).start())
