"""Small worlds: a reference, a stream of looks, and what they do to evidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from serinus.watching import Baseline, Detector, Evidence, Plan, Report, Sketch, Tally, build_baseline

Floats = NDArray[np.float64]
NAMES = ("amount", "age", "count", "channel")


def draw(rng: np.random.Generator, n: int) -> Floats:
    """Rows of a zero-inflated amount, an age, an integer count and a channel of four levels."""
    return np.stack(
        [
            np.where(rng.random(n) < 0.6, 0.0, rng.lognormal(3, 1, n)),
            rng.normal(40, 10, n),
            rng.poisson(2, n).astype(float),
            rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05]).astype(float),
        ],
        axis=1,
    )


def baseline(seed: int = 1, n: int = 5000) -> Baseline:
    """The reference of this world."""
    rng = np.random.default_rng(seed)
    rows = draw(rng, n)
    return build_baseline(NAMES, rows, rng.beta(1, 8, n), levels={"channel": 4}, bounds={"age": (-100, 200)})


def look(
    base: Baseline, rng: np.random.Generator, n: int, change: Callable[[Floats], None] | None = None
) -> Sketch:
    """A look of n rows and scores."""
    rows = draw(rng, n)
    if change is not None:
        change(rows)
    tally = Tally(base)
    tally.add(rows)
    tally.add_scores(rng.beta(1, 8, n))
    return tally.take()


def run(
    plan: Plan,
    base: Baseline,
    looks: int,
    n: int,
    change: Callable[[Floats], None] | None = None,
    seed: int = 2,
) -> tuple[Detector, Evidence, Report]:
    """Evidence after ``looks`` looks of n rows each."""
    rng, watch = np.random.default_rng(seed), Detector(plan, base)
    evidence = watch.start()
    for _ in range(looks):
        evidence = watch.update(evidence, look(base, rng, n, change))
    return watch, evidence, watch.judge(evidence)
