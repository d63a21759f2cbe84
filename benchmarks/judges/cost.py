"""What one update of a rollout costs, and how large its state is: 12 metrics of 20 buckets, 10 pods."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import numpy as np

from serinus.evidence import Counter, Evidence, Guard, Plan, Sample, judge, start, update

METRICS, BUCKETS, STABLE_PODS, CANARY_PODS = 12, 20, 7, 3


def _samples(rate: float, count: int, rng: np.random.Generator) -> list[Sample]:
    """Scrapes 15 s apart; each bucket's share of units above its edge falls from 95 % to 0.1 %."""
    above = np.linspace(0.95, 0.001, BUCKETS)
    pods = {f"stable-{i}": 0.9 / STABLE_PODS for i in range(STABLE_PODS)}
    pods |= {f"canary-{i}": 0.1 / CANARY_PODS for i in range(CANARY_PODS)}
    totals = {pod: np.zeros((METRICS, BUCKETS + 1)) for pod in pods}
    out = []
    for k in range(count):
        arms: dict[str, dict[str, dict[str, Counter]]] = {"stable": {}, "canary": {}}
        for pod, share in pods.items():
            for m in range(METRICS):
                n = int(rng.poisson(rate * 15 * share))
                cells = rng.multinomial(n, -np.diff(above, prepend=1.0, append=0.0))
                totals[pod][m] += [n, *(n - np.cumsum(cells)[:-1])]
            arms[pod.split("-")[0]][pod] = {
                f"metric-{m}": Counter(row[0], tuple(row[1:])) for m, row in enumerate(totals[pod].tolist())
            }
        out.append(Sample(at=15.0 * k, stable=arms["stable"], canary=arms["canary"], canary_share=0.1))
    return out


def run(looks: int = 60) -> list[dict[str, float | str]]:
    """CPU milliseconds of ``update`` and ``judge``, and bytes of the state as JSON, by traffic and sidedness."""
    rng = np.random.default_rng(12)
    table: list[dict[str, float | str]] = []
    for rate in (20.0, 200.0, 2000.0):
        for side in ("higher", "both"):
            plan = Plan(
                guards=tuple(Guard(name=f"g{m}", metric=f"metric-{m}", side=side) for m in range(METRICS))
            )
            evidence: Evidence = start(plan)
            times, verdicts = [], []
            for sample in _samples(rate, looks, rng):
                began = time.process_time()
                evidence = update(plan, evidence, sample)
                times.append(1e3 * (time.process_time() - began))
                began = time.process_time()
                judge(plan, evidence)
                verdicts.append(1e3 * (time.process_time() - began))
            table.append(
                {
                    "rate": rate,
                    "side": side,
                    "update_ms_median": float(np.median(times[2:])),
                    "update_ms_best": float(np.min(times[2:])),
                    "update_ms_p95": float(np.quantile(times[2:], 0.95)),
                    "judge_ms_median": float(np.median(verdicts[2:])),
                    "judge_ms_best": float(np.min(verdicts[2:])),
                    "state_bytes": float(len(msgspec.json.encode(evidence))),
                }
            )
    return table


def write(out: Path, table: list[dict[str, float | str]]) -> None:
    """As JSON."""
    (out / "cost.json").write_text(json.dumps(table, indent=1) + "\n")
