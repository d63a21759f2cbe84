"""The trade-off curve: as each judge's knob sweeps, false rollbacks per hour against the median delay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from . import argo, flagger, others, ours
from .traces import Cell, Decision, decision, make

ALPHAS = (0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)


def _point(knob: float, good: Decision, bad: Decision) -> dict[str, float]:
    delay = np.sort(bad.rollback)
    return {
        "knob": float(knob),
        "false": float(np.isfinite(good.rollback).mean()),
        "detected": float(np.isfinite(bad.rollback).mean()),
        "delay": float(delay[(len(delay) - 1) // 2]),
    }


def run(
    rates: tuple[float, ...] = (2.0, 20.0, 200.0), effect: float = 4.0, runs: int = 1500
) -> list[dict[str, object]]:
    """Curves at 10 % share and 0.5 % base rate."""
    out: list[dict[str, object]] = []
    for rate in rates:
        pair = [make(Cell(rate, effect=e), runs, salt=3) for e in (1.0, effect)]
        curves: dict[str, list[dict[str, float]]] = {}
        for name, margin in (("ours", 1.25), ("ours (no margin)", 1.0)):
            good, bad = (ours.judge(t, alphas=ALPHAS, margin=margin, promotes=False).rollback for t in pair)
            curves[name] = [_point(a, decision(good[a]), decision(bad[a])) for a in ALPHAS]
        checks = [flagger.failed_checks(t) for t in pair]
        curves["Flagger (99 %, 1 m)"] = [
            _point(k, *(flagger.judge(c, k) for c in checks)) for k in range(1, 40)
        ]
        made = [argo.failures(t, 0.99, 20, 4) for t in pair]
        curves["Argo (99 %, 5 m, each 1 m)"] = [
            _point(k, *(argo.judge(*m, k, 4) for m in made)) for k in range(50)
        ]
        z = [others.z_statistics(t) for t in pair]
        curves["z-test"] = [
            _point(v, *(others.z_judge(s, float(v)) for s in z)) for v in np.arange(1.5, 5, 0.125)
        ]
        out.append({"rate": rate, "effect": effect, "curves": curves})
    return out


def write(out: Path, table: list[dict[str, object]]) -> None:
    """As JSON."""
    (out / "amoc.json").write_text(json.dumps(table, allow_nan=True) + "\n")
