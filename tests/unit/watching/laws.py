"""What must hold of the evidence whatever the stream: exact sums over all outcomes, through the public functions."""

from __future__ import annotations

import itertools
import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.watching import Baseline, Detector, Evidence, Plan, Tally, build_baseline

Floats = NDArray[np.float64]


def three_cells(seed: int = 1, n: int = 3000) -> Baseline:
    """One category of three levels."""
    codes = np.random.default_rng(seed).choice(3, (n, 1), p=[0.5, 0.3, 0.2]).astype(float)
    return build_baseline(["c"], codes, levels={"c": 3})


def lifted(evidence: Evidence, by: float = 3.0) -> Evidence:
    """The same evidence with every bet well above its floor, so that one look shows what it multiplies by."""
    logs = np.full_like(np.frombuffer(evidence.logs, "<f4"), by)
    return msgspec.structs.replace(evidence, logs=logs.tobytes())


def on_the_edge(base: Baseline, plan: Plan, direction: Floats) -> Floats:
    """The law of the null that lies farthest from the reference in a direction (cells,)."""
    p = (np.asarray(base.columns[0].counts[0]) + 0.5) / (base.columns[0].rows + 1.5)
    step = direction - direction.mean()
    length = math.sqrt(float(np.sum(step**2 / p)))
    q = p + math.sqrt(plan.tolerance) * step / length if length > 1e-6 else p
    q = np.maximum(q, 0)
    return q / q.sum()


def look_means(watch: Detector, evidence: Evidence, law: Floats, rows: int, copies: int = 1) -> Floats:
    """The mean of what one look of ``rows`` independent rows multiplies each bet by, every row coming ``copies`` times.

    Summed over all outcomes.
    """
    before = np.exp(np.frombuffer(lifted(evidence).logs, "<f4").astype(float))
    total = np.zeros_like(before)
    for cells in itertools.product(range(law.size), repeat=rows):
        tally = Tally(watch.baseline)
        tally.add(np.repeat(np.array(cells, float), copies)[:, None])
        after = watch.update(lifted(evidence), tally.take())
        chance = float(np.prod(law[list(cells)]))
        total += chance * np.exp(np.frombuffer(after.logs, "<f4").astype(float)) / before
    return total
