"""How much any valid comparison could detect at 2 requests/s: the best test that knows the effect and the hour.

With the margins given, the uniformly most powerful level-alpha test of "odds ratio at most psi0" rejects for large
counts of the canary's bad requests (randomised at the edge). A test that may be looked at any time cannot be more
powerful at the end of the hour than this one, which looks once.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.stats import nchypergeom_fisher

from .traces import Cell, make


def power(cell: Cell, ratio: float, alpha: float, runs: int = 400) -> float:
    """Share of replications that the one-look test at the end of the trace rejects."""
    trace = make(cell, runs, salt=2)
    n_s, n_c, x_s, x_c = (part.sum(axis=0) for part in (trace.n_s, trace.n_c, trace.x_s, trace.x_c))
    hits = 0.0
    for run in range(runs):
        total = int(x_s[run] + x_c[run])
        counts = np.arange(min(total, int(n_c[run])) + 1)
        law = nchypergeom_fisher.pmf(counts, int(n_s[run] + n_c[run]), total, int(n_c[run]), ratio)
        tail = np.append(np.cumsum(law[::-1])[::-1], 0.0)  # P(X >= x)
        edge = int(np.argmax(tail <= alpha))  # reject from here on
        if x_c[run] >= edge:
            hits += 1
        elif x_c[run] == edge - 1:
            hits += (alpha - tail[edge]) / law[edge - 1]
    return hits / runs


def run() -> list[dict[str, float]]:
    """At 2 requests/s and 0.5 % base, by effect, share, tolerated ratio and level."""
    table = []
    for share in (0.1, 0.25):
        for effect in (2.0, 4.0):
            for ratio in (1.0, 1.25):
                for alpha in (0.01, 0.05):
                    value = power(Cell(2.0, share, effect=effect), ratio, alpha)
                    table.append(
                        {
                            "share": share,
                            "effect": effect,
                            "ratio": ratio,
                            "alpha": alpha,
                            "power": round(value, 4),
                        }
                    )
    return table


def write(out: Path, table: list[dict[str, float]]) -> None:
    """As JSON."""
    (out / "limits.json").write_text(json.dumps(table, indent=1) + "\n")
