"""False alarms on traffic without drift: measured run lengths against the budget."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import msgspec
import numpy as np
from scipy.stats import chi2

from serinus.watching import SCORE, Detector, Plan, Tally, build_baseline

from . import cards, rivals, worlds
from .ours import Replicas
from .worlds import FEATURES, LOOK_ROWS, REFERENCE, Stream

WEEK = 7 * worlds.LOOKS_PER_DAY
OURS, OURS_EVIDENCE = "ours", "ours, evidence alone"


@dataclass(frozen=True)
class Row:
    """One monitor on one stream. ``budget`` is the wanted mean number of looks (or rows) between false alarms, 0 if
    the monitor cannot be told one; ``watched`` looks were watched and ``alarms`` first alarms raised; ``length`` is
    their quotient with its exact 95 % bounds (``high`` is infinite without an alarm)."""

    stream: str
    monitor: str
    unit: str
    budget: float
    watched: int
    alarms: int
    length: float
    low: float
    high: float
    kept: str


def row(stream: str, monitor: str, budget: float, watched: int, alarms: int, unit: str = "looks") -> Row:
    """A row with its bounds: alarms are taken as Poisson."""
    low = 2 * watched / float(chi2.ppf(0.975, 2 * alarms + 2))
    high = 2 * watched / float(chi2.ppf(0.025, 2 * alarms)) if alarms else np.inf
    length = watched / alarms if alarms else np.inf
    kept = "" if not budget else "no" if high < budget else "yes" if low >= budget else "not refuted"
    return Row(stream, monitor, unit, budget, watched, alarms, length, low, high, kept)


def plan(looks: float, **more: float) -> Plan:
    """A plan whose budget is so many looks of five minutes."""
    return Plan(budget=f"{looks * 5:g}m", look="5m", **more)  # type: ignore[arg-type]


def _names(count: int) -> list[str]:
    return [f"x{i}" for i in range(count)]


def ours(
    world: str, replicas: int, looks: int, budgets: dict[str, Plan], *, hourly: bool = False
) -> Iterator[Row]:
    """Ours on a simulated stream; an alarm is the first of a replica, which then starts anew."""
    stream = Stream(world, replicas, 1)
    if hourly:
        rows, hours = stream.reference_hours(REFERENCE * 24)
        base = build_baseline(_names(rows.shape[1]), rows, strata=hours)
    else:
        base = build_baseline(_names(replicas * FEATURES), stream.reference())
    watchers = {name: Replicas(made, base, FEATURES) for name, made in budgets.items()}
    found = {name: np.zeros(2, int) for name in budgets}
    tally = Tally(base)
    for _ in range(looks):
        stratum = stream.hour if hourly else 0
        tally.add(stream.next())
        sketch = tally.take()
        for name, watch in watchers.items():
            evidence, both = watch.update(sketch, stratum)
            found[name] += evidence.sum(), both.sum()
            if evidence.any():
                watch.reset(evidence)
    suffix = ", reference by the hour" if hourly else ""
    for name, made in budgets.items():
        evidence, both = found[name].tolist()
        yield row(world, f"{OURS_EVIDENCE}{suffix} ({name})", made.run_length, replicas * looks, evidence)
        yield row(world, f"{OURS}{suffix} ({name})", made.run_length, replicas * looks, both)


def binned(looks: int, replicas: int) -> Iterator[Row]:
    """Ours at the long budget of 90 days: looks drawn as binned counts."""
    made = plan(90 * worlds.LOOKS_PER_DAY)
    for world in ("gaussian", "zero-inflated", "integer"):
        stream = Stream(world, replicas, 2)
        base = build_baseline(_names(replicas * FEATURES), stream.reference())
        big = Tally(base)
        for _ in range(20):
            big.add(stream.next(20_000))
        # The true shares to within what 400,000 rows tell.
        truth = [np.asarray(c, float) / sum(c) for c in big.take().counts]
        watch, rng = Replicas(made, base, FEATURES), np.random.default_rng(5)
        template, alarms = Tally(base).take(), 0
        draws = [rng.multinomial(LOOK_ROWS, p / p.sum(), size=looks) for p in truth]
        for k in range(looks):
            counts = tuple(tuple(d[k].tolist()) for d in draws)
            evidence, _ = watch.update(msgspec.structs.replace(template, rows=LOOK_ROWS, counts=counts))
            alarms += int(evidence.sum())
            if evidence.any():
                watch.reset(evidence)
        yield row(
            world, f"{OURS_EVIDENCE} (90 days, binned looks)", made.run_length, looks * replicas, alarms
        )


def peers(world: str, looks: int) -> Iterator[Row]:
    """Batch tests and PSI on one replica of a simulated stream."""
    stream = Stream(world, 1, 3)
    reference = stream.reference()
    base = build_baseline(_names(FEATURES), reference)
    test, tally = rivals.KS(reference), Tally(base)
    default = weekly = steep = 0
    for _ in range(looks):
        rows = stream.next()
        p, verdict = test.least(rows)
        default += verdict
        weekly += p <= 1 / (WEEK * FEATURES)
        tally.add(rows)
        counts = np.concatenate([np.asarray(c, float) for c in tally.take().counts])
        steep += bool((rivals.psi(list(base.columns), counts) > 0.1).any())
    yield row(world, "Alibi Detect KSDrift, Bonferroni .05 (default)", 0, looks, default)
    yield row(world, "Alibi Detect KSDrift, Bonferroni for one a week", WEEK, looks, weekly)
    yield row(world, "PSI > 0.1", 0, looks, steep)


def online(world: str, runs: int, ert: float = 300.0) -> Iterator[Row]:
    """Alibi Detect's online detector at an expected run time of 300 rows: longer ones need 10 times as many
    bootstraps, a week of rows cannot be configured."""
    stream = Stream(world, 1, 4, features=1)
    test = rivals.Online(stream.reference(500), ert, 20, 3000)
    watched = alarms = 0
    for _ in range(runs):
        length, alarmed = test.run_length(stream.next(1200))
        watched, alarms = watched + length, alarms + alarmed
    yield row(world, "Alibi Detect CVMDriftOnline, ERT 300", ert, watched, alarms, unit="rows")


def on_cards(data: cards.Cards) -> Iterator[Row]:
    """The published simulation of card transactions, 728,000 rows after the reference, in looks of 500 rows."""
    past, live = data.part(77, 107), data.part(107, 184)
    pick = np.linspace(0, len(past.rows) - 1, REFERENCE).astype(int)
    keep = [i for i, name in enumerate(data.names) if name not in data.timed]
    reference, scores = past.rows[pick][:, keep], past.scores[pick]
    names = [data.names[i] for i in keep]
    base = build_baseline(names, reference, scores)
    looks = len(live.rows) // LOOK_ROWS
    tests = len(names) + 1
    held = np.column_stack([reference, scores])
    ks = [rivals.KS(c[~np.isnan(c)].reshape(-1, 1)) for c in held.T]
    tally = Tally(base)
    alarms = {"evidence": 0, "both": 0, "bad": 0}
    watch = Detector(plan(WEEK), base)
    evidence = watch.start()
    default = weekly = steep = 0
    for k in range(looks):
        part = slice(k * LOOK_ROWS, (k + 1) * LOOK_ROWS)
        rows, answered = live.rows[part][:, keep], live.scores[part]
        tally.add(rows)
        tally.add_scores(answered)
        sketch = tally.take()
        evidence = watch.update(evidence, sketch)
        report = watch.judge(evidence)
        alarms["evidence"] += any(c.evidence for c in report.columns)
        alarms["both"] += bool(report.drifted)
        alarms["bad"] += report.quality == "bad"
        counts = np.concatenate([np.asarray(c, float) for c in sketch.counts])
        steep += bool((rivals.psi(list(base.columns), counts) > 0.1).any())
        if k % 2 == 0:  # every other look: the tests are slow
            columns = [c[~np.isnan(c)] for c in np.column_stack([rows, answered]).T]
            p = min(t.least(c.reshape(-1, 1))[0] for t, c in zip(ks, columns, strict=True) if c.size > 50)
            default += p <= 0.05 / tests
            weekly += p <= 1 / (WEEK * tests)
    half = (looks + 1) // 2
    yield row("cards", f"{OURS_EVIDENCE} (a week)", WEEK, looks, alarms["evidence"])
    yield row("cards", f"{OURS} (a week)", WEEK, looks, alarms["both"])
    yield row("cards", "ours, bad data (a week)", WEEK, looks, alarms["bad"])
    yield row("cards", "Alibi Detect KSDrift, Bonferroni .05 (default)", 0, half, default)
    yield row("cards", "Alibi Detect KSDrift, Bonferroni for one a week", WEEK, half, weekly)
    yield row("cards", "PSI > 0.1", 0, looks, steep)


def run(scale: float) -> Iterator[Row]:
    """Ours on all streams, and everyone on the cards."""
    replicas, looks = max(2, round(12 * scale)), max(50, round(1000 * scale))
    for world in worlds.WORLDS:
        plans = {"A = 100": plan(100), "a week": plan(WEEK)}
        if world == "autocorrelated":
            plans |= {
                "A = 100, dependence 8": plan(100, dependence=8),
                "a week, dependence 8": plan(WEEK, dependence=8),
            }
        yield from ours(world, replicas, looks, plans)
        if world == "daily cycle":
            yield from ours(world, 2, looks, plans, hourly=True)
    if (data := cards.load()) is not None:
        yield from on_cards(data)
    yield from binned(max(50, round(2000 * scale)), 56)


def run_rivals(scale: float) -> Iterator[Row]:
    """The rivals on the simulated streams."""
    for world in worlds.WORLDS:
        yield from peers(world, max(50, round(300 * scale)))
    for world in worlds.WORLDS:
        yield from online(world, max(3, round(12 * scale)))


def write(path: Path, table: list[Row]) -> None:
    """As CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f.name for f in fields(Row)])
        for entry in table:
            writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in asdict(entry).values()])


__all__ = ["SCORE", "Row", "plan", "row", "run", "run_rivals", "write"]
