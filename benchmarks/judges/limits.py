"""How much any valid comparison could detect at 2 requests/s, and what one more look would add to ours.

With the margins given, the uniformly most powerful level-alpha test of "odds ratio at most psi0" rejects for large
counts of the canary's bad requests (randomised at the edge). A test that may be looked at any time cannot be more
powerful at the end of the hour than this one, which knows the hour and looks once.

The *split* spends half of alpha on the evidence at all looks and half on one such look (not randomised) at a time
limit that is fixed in advance: valid at alpha together, by the union bound. It is not shipped.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.stats import nchypergeom_fisher

from . import ours
from .traces import Cell, Trace, make


def tails(trace: Trace, run: int, ratio: float) -> np.ndarray:
    """P(the canary has at least x of the bad requests of the whole trace), x = 0, 1, ..., one past the most."""
    n_s, n_c, x_s, x_c = (int(part[:, run].sum()) for part in (trace.n_s, trace.n_c, trace.x_s, trace.x_c))
    counts = np.arange(min(x_s + x_c, n_c) + 1)
    law = nchypergeom_fisher.pmf(counts, n_s + n_c, x_s + x_c, n_c, ratio)
    return np.append(np.cumsum(law[::-1])[::-1], 0.0)


def measure(cell: Cell, ratio: float, alpha: float, runs: int = 400) -> dict[str, float]:
    """Shares of replications rejected within the trace: by the best one-look test, by ours, and by the split."""
    trace = make(cell, runs, salt=2)
    shipped = ours.judge(trace, alphas=(alpha, alpha / 2), margin=ratio, promotes=False)
    best, split = 0.0, 0
    for run in range(runs):
        tail, x = tails(trace, run, ratio), int(trace.x_c[:, run].sum())
        edge = int(np.argmax(tail <= alpha))  # reject from here on
        if x >= edge:
            best += 1
        elif x == edge - 1:
            best += float((alpha - tail[edge]) / (tail[edge - 1] - tail[edge]))
        split += bool(tail[x] <= alpha / 2 or np.isfinite(shipped.rollback[alpha / 2][run]))
    return {
        "best": best / runs,
        "ours": float(np.isfinite(shipped.rollback[alpha]).mean()),
        "split": split / runs,
    }


def run() -> list[dict[str, float]]:
    """At 2 requests/s and 0.5 % base, by effect, share, tolerated ratio and level; effect 1 gives false rollbacks."""
    table = []
    for share in (0.1, 0.25):
        for effect in (1.0, 2.0, 4.0):
            for ratio in (1.0, 1.25):
                for alpha in (0.01, 0.05):
                    found = measure(Cell(2.0, share, effect=effect), ratio, alpha)
                    table.append({"share": share, "effect": effect, "ratio": ratio, "alpha": alpha, **found})
    return table


def write(out: Path, table: list[dict[str, float]]) -> None:
    """As JSON."""
    (out / "limits.json").write_text(json.dumps(table, indent=1) + "\n")
