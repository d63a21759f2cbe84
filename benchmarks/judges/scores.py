"""Real scores of a trained model, and of broken ones: can a judge tell before any label comes?

A LightGBM model is trained on generated payments; live payments are scored by the champion and by a canary. Canaries:
the same model (good); one retrained on other payments (good: what a routine retraining gives); one that reads the
amount in cents; one that lost a column (missing at serving); one whose output is inverted. The scores become
histograms at the champion's quantiles, and the shipped ``update`` and ``judge`` read them, scrape by scrape.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from serinus.evidence import Counter, Guard, Plan, Sample, judge, start, update

from . import kayenta

Floats = NDArray[np.float64]
Canary = tuple[str, bool, Callable[[NDArray[np.float64]], NDArray[np.float64]]]
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995)
AMOUNT, AGE, COUNT, HOUR, DISTANCE = range(5)


def payments(n: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
    """Features (amount, account age, count in 24 h, hour, distance) and whether the payment is fraud (about 2 %)."""
    x = np.column_stack(
        [
            rng.lognormal(3.5, 1.0, n),
            rng.exponential(600.0, n),
            rng.poisson(3.0, n).astype(float),
            rng.uniform(0, 24, n),
            rng.lognormal(2.0, 1.2, n),
        ]
    )
    logit = (
        -6.2
        + 0.9 * (np.log(x[:, AMOUNT]) - 3.5)
        - 0.0015 * x[:, AGE]
        + 0.35 * x[:, COUNT]
        + 0.8 * ((x[:, HOUR] < 6) * 1.0)
        + 0.5 * (np.log(x[:, DISTANCE]) - 2.0)
    )
    return x, (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.int64)


def train(seed: int) -> Callable[[Floats], Floats]:
    """A model's score, 0..1."""
    x, y = payments(40_000, np.random.default_rng([77, seed]))
    options = {
        "objective": "binary",
        "num_leaves": 15,
        "verbose": -1,
        "num_threads": 1,
        "seed": 1,
        "deterministic": True,
    }
    booster = lgb.train(options, lgb.Dataset(x, y), 80)
    return lambda rows: np.asarray(booster.predict(rows), dtype=np.float64)


def _with(
    column: int, change: Callable[[Floats], Floats], score: Callable[[Floats], Floats]
) -> Callable[[Floats], Floats]:
    def broken(rows: Floats) -> Floats:
        rows = rows.copy()
        rows[:, column] = change(rows[:, column])
        return score(rows)

    return broken


@dataclass(frozen=True)
class Row:
    """Decisions of one judge on one canary. Delays in minutes, infinite where fewer than half decided."""

    canary: str
    good: bool
    rate: float
    judge: str
    runs: int
    harm: int
    harm_delay: float
    clear: int
    clear_delay: float


def _counter(totals: Floats) -> Counter:
    return Counter(float(totals[0]), tuple(totals[1:].tolist()))


def _one(
    rate: float,
    minutes: int,
    champion: Callable[[Floats], Floats],
    canary: Callable[[Floats], Floats],
    edges: Floats,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """(minutes to harm, to clear, to Kayenta's High or Low) of one rollout at 10 % share."""
    plan = Plan(guards=(Guard(name="scores", metric="scores", side="both", margin_absolute=0.05),))
    evidence = start(plan)
    totals = np.zeros((2, len(edges) + 1))
    harm = clear = other = math.inf
    means: list[list[float]] = [[], []]
    minute: list[list[Floats]] = [[], []]
    for k in range(minutes * 4 + 1):
        if k:
            for arm, (share, score) in enumerate(((0.9, champion), (0.1, canary))):
                x, _ = payments(int(rng.poisson(rate * 15 * share)), rng)
                scores = score(x) if len(x) else np.zeros(0)
                totals[arm] += [len(scores), *(scores[:, None] > edges).sum(axis=0)]
                minute[arm].append(scores)
        evidence = update(
            plan,
            evidence,
            Sample(
                at=15.0 * k,
                stable={"s": {"scores": _counter(totals[0])}},
                canary={"c": {"scores": _counter(totals[1])}},
            ),
        )
        outcome = judge(plan, evidence).outcome
        if outcome == "harm":
            harm = min(harm, k / 4)
        if outcome == "clear":
            clear = min(clear, k / 4)
        if k and k % 4 == 0:
            for arm in (0, 1):
                scores = np.concatenate(minute[arm])
                means[arm].append(100 * float(scores.mean()) if len(scores) else math.nan)
                minute[arm].clear()
            if k % 20 == 0 and math.isinf(other):
                label = kayenta.classify(np.array([means[1]]), np.array([means[0]]), direction="either")[0]
                other = k / 4 if label in ("High", "Low") else math.inf
        if harm < math.inf and other < math.inf:
            break
    return harm, clear if clear < harm else math.inf, other


def _canaries(again: Callable[[Floats], Floats], champion: Callable[[Floats], Floats]) -> list[Canary]:
    return [
        ("the champion itself", True, champion),
        ("retrained on other payments", True, again),
        ("reads the amount in cents", False, _with(AMOUNT, lambda v: v * 100, again)),
        ("lost the count of payments", False, _with(COUNT, lambda v: np.full_like(v, np.nan), again)),
        ("account age in months", False, _with(AGE, lambda v: v / 30, again)),
        ("score inverted", False, lambda rows: 1 - again(rows)),
    ]


def _case(rate: float, place: int, runs: int, minutes: int) -> list[Row]:
    """One canary at one rate: our row and Kayenta's."""
    champion = train(0)
    reference, _ = payments(100_000, np.random.default_rng(5))
    edges = np.quantile(champion(reference), QUANTILES)
    name, good, canary = _canaries(train(1), champion)[place]
    rng = np.random.default_rng([31, int(rate), place])
    times = np.array([_one(rate, minutes, champion, canary, edges, rng) for _ in range(runs)])
    harm, clear, other = (np.sort(column) for column in times.T)
    middle = (runs - 1) // 2
    found = [int(np.isfinite(column).sum()) for column in (harm, clear, other)]
    ours = Row(name, good, rate, "ours", runs, found[0], float(harm[middle]), found[1], float(clear[middle]))
    theirs = Row(
        name,
        good,
        rate,
        "Kayenta (mean score, 5-min looks)",
        runs,
        found[2],
        float(other[middle]),
        0,
        math.inf,
    )
    return [ours, theirs]


def run(runs: int, jobs: int = 1, rates: tuple[float, ...] = (2.0, 20.0), minutes: int = 60) -> list[Row]:
    """All canaries at each rate."""
    cases = [(rate, place, runs, minutes) for rate in rates for place in range(6)]
    if jobs == 1:
        return [row for case in cases for row in _case(*case)]
    with ProcessPoolExecutor(jobs) as pool:
        return [row for rows in pool.map(_case, *zip(*cases, strict=True)) for row in rows]


def write(out: Path, table: list[Row]) -> None:
    """As CSV."""
    with (out / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row.__dataclass_fields__)
        for row in table:
            writer.writerow([getattr(row, name) for name in Row.__dataclass_fields__])
