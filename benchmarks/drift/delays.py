"""How soon a drift is found, every monitor held to at most one false alarm a week of looks."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serinus.watching import Detector, Tally, build_baseline

from . import cards, rivals
from .alarms import WEEK, plan
from .worlds import LOOK_ROWS, REFERENCE

Floats = NDArray[np.float64]
MOST = 40  # looks after the onset
BEFORE = 20  # clean looks that ours has seen by then
LONG = 5  # looks that the longer windows of the batch tests hold
RAMP = 40  # looks until a ramp is at its height
OURS = "ours"
RIVALS: tuple[str, ...] = (
    "KSDrift, 500 rows",
    "KSDrift, 2500 rows",
    "ChiSquareDrift, 500 rows",
    "KSDrift without NaN, 500 rows",
    "uncertainty KS, 500 rows",
    "PSI > 0.1, 500 rows",
)


@dataclass(frozen=True)
class Scenario:
    """A change of rows (n, F) and scores (n,) in the k-th look after the onset; ``primary`` ones make up the target."""

    name: str
    kind: str
    primary: bool
    change: Callable[[Floats, Floats, int, np.random.Generator], None]


def _moved(by: float) -> Callable[..., None]:
    def change(rows: Floats, scores: Floats, k: int, rng: np.random.Generator) -> None:
        rows[:, 0] += by

    return change


def _spread(by: float) -> Callable[..., None]:
    def change(rows: Floats, scores: Floats, k: int, rng: np.random.Generator) -> None:
        rows[:, 0] *= by

    return change


def _category(share: float) -> Callable[..., None]:
    # Level 2 holds a tenth; some of the others become it.
    def change(rows: Floats, scores: Floats, k: int, rng: np.random.Generator) -> None:
        rows[(rows[:, 9] != 2) & (rng.random(len(rows)) < (share - 0.1) / 0.9), 9] = 2

    return change


def _missing(share: float) -> Callable[..., None]:
    def change(rows: Floats, scores: Floats, k: int, rng: np.random.Generator) -> None:
        rows[rng.random(len(rows)) < share, 0] = np.nan

    return change


def _ramp(height: float) -> Callable[..., None]:
    def change(rows: Floats, scores: Floats, k: int, rng: np.random.Generator) -> None:
        rows[:, 0] += height * min(1.0, (k + 1) / RAMP)

    return change


def _nan_and_shift(rows: Floats, scores: Floats, k: int, rng: np.random.Generator) -> None:
    rows[:, 0] += 3
    rows[rng.random(len(rows)) < 0.01, 0] = np.nan


def _nothing(rows: Floats, scores: Floats, k: int, rng: np.random.Generator) -> None:
    """The cards' own stream brings the change."""


SCENARIOS = (
    Scenario("mean +0.5 sd", "mean shift", True, _moved(0.5)),
    Scenario("mean +0.3 sd", "mean shift", False, _moved(0.3)),
    Scenario("mean +1 sd", "mean shift", False, _moved(1.0)),
    Scenario("sd x 1.5", "variance", True, _spread(1.5)),
    Scenario("sd x 1.3", "variance", False, _spread(1.3)),
    Scenario("a category from 10 to 25 %", "one category", True, _category(0.25)),
    Scenario("a category from 10 to 18 %", "one category", False, _category(0.18)),
    Scenario("missing from 0 to 1 %", "missing", True, _missing(0.01)),
    Scenario("missing from 0 to 3 %", "missing", False, _missing(0.03)),
    Scenario("mean to +1 sd in 40 looks", "slow ramp", True, _ramp(1.0)),
    Scenario("new fraud pattern, 5 % of traffic", "new pattern", True, _nothing),
    Scenario("new fraud pattern, 2 % of traffic", "new pattern", False, _nothing),
    Scenario("+3 sd with 1 % NaN", "NaN", False, _nan_and_shift),
)


@dataclass(frozen=True)
class Row:
    """One monitor in one scenario: looks of 500 rows until the alarm, over ``runs`` seeded runs.

    ``median`` and ``worst`` count a run without alarm as infinite; ``found`` is the share of runs with one.
    ``early`` runs had a false alarm before the onset."""

    scenario: str
    kind: str
    primary: bool
    monitor: str
    runs: int
    found: float
    median: float
    mean: float
    worst: float
    early: int


class World:
    """Nine numbers and a category of five levels, independent; scores that follow the first number weakly."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([77, 100 + seed])
        self.names = [f"x{i}" for i in range(10)]
        self.levels = {"x9": 5}

    def rows(self, n: int) -> tuple[Floats, Floats]:
        """(rows, scores)."""
        rows = self.rng.standard_normal((n, 10))
        rows[:, 9] = self.rng.choice(5, n, p=[0.4, 0.3, 0.1, 0.1, 0.1])
        return rows, 1 / (1 + np.exp(3 - 0.3 * rows[:, 0] - self.rng.standard_normal(n)))

    def look(self, k: int, scenario: Scenario) -> tuple[Floats, Floats]:
        """The k-th look after the onset; before it for k < 0."""
        rows, scores = self.rows(LOOK_ROWS)
        if k >= 0:
            scenario.change(rows, scores, k, self.rng)
            scores = 1 / (
                1 + np.exp(3 - 0.3 * np.nan_to_num(rows[:, 0]) - self.rng.standard_normal(len(rows)))
            )
        return rows, scores


class CardWorld(World):
    """The simulation of card transactions, and in it a pattern that it does not contain."""

    def __init__(self, seed: int, data: cards.Cards, share: float) -> None:
        super().__init__(seed)
        keep = [i for i, name in enumerate(data.names) if name not in data.timed]
        self.names, self.levels = [data.names[i] for i in keep], {}
        past, live = data.part(77, 107), data.part(107, 184)
        pick = self.rng.choice(len(past.rows), REFERENCE, replace=False)
        self._reference = past.rows[pick][:, keep], past.scores[pick]
        begin = int(self.rng.integers(0, len(live.rows) - LOOK_ROWS * (MOST + BEFORE + 1)))
        self._live = live.rows[begin:, keep], live.scores[begin:]
        self._attack = data.attack[:, keep], data.attack_scores
        self._share, self._at = share, 0

    def rows(self, n: int) -> tuple[Floats, Floats]:
        """The reference first, then the stream in order."""
        if n == REFERENCE:
            return self._reference
        part = slice(self._at, self._at + n)
        self._at += n
        return self._live[0][part].copy(), self._live[1][part].copy()

    def look(self, k: int, scenario: Scenario) -> tuple[Floats, Floats]:
        """The stream, with the pattern in the given share of rows from the onset on."""
        rows, scores = self.rows(LOOK_ROWS)
        if k >= 0:
            hit = np.flatnonzero(self.rng.random(len(rows)) < self._share)
            drawn = self.rng.choice(len(self._attack[0]), hit.size)
            rows[hit], scores[hit] = self._attack[0][drawn], self._attack[1][drawn]
        return rows, scores


def _entropy(scores: Floats) -> Floats:
    p = np.clip(scores, 1e-9, 1 - 1e-9)
    return -(p * np.log(p) + (1 - p) * np.log1p(-p))


class _Rivals:
    """The batch tests at the p-value that one false alarm a week of their windows allows."""

    def __init__(self, world: World, reference: Floats, scores: Floats) -> None:
        self.numbers = [i for i, name in enumerate(world.names) if name not in world.levels]
        self.codes = [i for i, name in enumerate(world.names) if name in world.levels]
        held = np.column_stack([reference[:, self.numbers], scores])
        self.tests = len(world.names) + 1
        # A column with missing values in the reference cannot be tested by Alibi Detect as it comes.
        clean = [i for i in range(held.shape[1]) if not np.isnan(held[:, i]).any()]
        self.clean = clean
        self.ks = rivals.KS(held[:, clean])
        self.split = [rivals.KS(c[~np.isnan(c)].reshape(-1, 1)) for c in held.T]
        self.chi = [rivals.ChiSquare(reference[:, i]) for i in self.codes]
        self.uncertainty = rivals.KS(_entropy(scores).reshape(-1, 1))
        self.base = build_baseline(world.names, reference, scores, levels=world.levels)
        self.kept: list[Floats] = []

    def look(self, rows: Floats, scores: Floats, asked: set[str]) -> dict[str, bool]:
        """Alarms of the monitors ``asked`` at this look; a longer window says something at its end only."""
        held = np.column_stack([rows[:, self.numbers], scores])
        level = 1 / (WEEK * self.tests)
        out: dict[str, bool] = {}
        gaps = bool(np.isnan(held).any()) or len(self.clean) < held.shape[1]
        if "KSDrift, 500 rows" in asked or not gaps:
            out["KSDrift, 500 rows"] = self.ks.least(held[:, self.clean])[0] <= level
        if "KSDrift without NaN, 500 rows" in asked:
            columns = [c[~np.isnan(c)].reshape(-1, 1) for c in held.T]
            out["KSDrift without NaN, 500 rows"] = (
                any(t.least(c)[0] <= level for t, c in zip(self.split, columns, strict=True) if c.size > 50)
                if gaps
                else out["KSDrift, 500 rows"]
            )
        if "ChiSquareDrift, 500 rows" in asked:
            out["ChiSquareDrift, 500 rows"] = any(
                t.p(rows[:, i]) <= level for t, i in zip(self.chi, self.codes, strict=True)
            )
        if "uncertainty KS, 500 rows" in asked:
            p, _ = self.uncertainty.least(_entropy(scores).reshape(-1, 1))
            out["uncertainty KS, 500 rows"] = p <= 1 / WEEK
        if "PSI > 0.1, 500 rows" in asked:
            tally = Tally(self.base)
            tally.add(rows)
            tally.add_scores(scores)
            counts = np.concatenate([np.asarray(c, float) for c in tally.take().counts])
            out["PSI > 0.1, 500 rows"] = bool((rivals.psi(list(self.base.columns), counts) > 0.1).any())
        self.kept.append(held)
        if len(self.kept) == LONG:
            if "KSDrift, 2500 rows" in asked:
                long = np.concatenate(self.kept)[:, self.clean]
                out["KSDrift, 2500 rows"] = self.ks.least(long)[0] <= level * LONG
            self.kept.clear()
        return out


def once(scenario: Scenario, world: World, phase: int) -> dict[str, tuple[float, bool]]:
    """Monitor → (looks from the onset to the alarm, whether it had alarmed before). ``phase`` looks of the longer
    windows are filled at the onset."""
    reference, scores = world.rows(REFERENCE)
    base = build_baseline(world.names, reference, scores, levels=world.levels)
    watch, tally = Detector(plan(WEEK), base), Tally(base)
    evidence, others = watch.start(), _Rivals(world, reference, scores)
    found: dict[str, tuple[float, bool]] = {}
    for k in range(-BEFORE, MOST):
        rows, answered = world.look(k, scenario)
        if OURS not in found or k < 0:
            tally.add(rows)
            tally.add_scores(answered)
            evidence = watch.update(evidence, tally.take())
            report = watch.judge(evidence)
            if report.drifted or report.quality == "bad":
                found.setdefault(OURS, (k + 1, k < 0))
        if k >= -phase and (asked := set(RIVALS) - set(found)):
            for name, alarm in others.look(rows, answered, asked).items():
                if alarm:
                    found.setdefault(name, (k + 1, k < 0))
        if len(found) == len(RIVALS) + 1:
            break
    return found


def run(runs: int) -> Iterator[Row]:
    """All scenarios."""
    data = cards.load()
    for scenario in SCENARIOS:
        kinds = scenario.kind == "new pattern"
        if kinds and data is None:
            continue
        share = 0.05 if "5 %" in scenario.name else 0.02
        made = []
        for seed in range(runs):
            world = CardWorld(seed, data, share) if kinds and data is not None else World(seed)
            made.append(once(scenario, world, seed % LONG))
        for monitor in (OURS, *RIVALS):
            delays = np.array([float(m.get(monitor, (np.inf, False))[0]) for m in made])
            early = sum(m.get(monitor, (0.0, False))[1] for m in made)
            delays[delays <= 0] = np.inf
            seen = np.isfinite(delays)
            yield Row(
                scenario.name,
                scenario.kind,
                scenario.primary,
                monitor,
                runs,
                float(seen.mean()),
                float(np.sort(delays)[(runs - 1) // 2]),
                float(delays[seen].mean()) if seen.any() else np.inf,
                float(delays.max()),
                early,
            )


def write(path: Path, table: list[Row]) -> None:
    """As CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f.name for f in fields(Row)])
        for entry in table:
            writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in asdict(entry).values()])
