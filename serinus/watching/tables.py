"""What plan and baseline determine before anything has passed by: groups, payoffs, nulls, thresholds."""

from __future__ import annotations

import hashlib
import math
from itertools import chain
from typing import Literal

import msgspec
import numpy as np

from . import ball, bets
from .bins import Baseline, Floats, Ints
from .effects import Yardsticks
from .laws import binomial_bounds, chi_square_isf, normal_isf
from .types import Plan

LEARNING = 0.3  # weight of the bets that learn from the past; the rest is on the fixed alternatives
EXCESSES = (0.003, 0.01, 0.04, 0.2)  # bets on a share: risen by this much of what is left
_LEAST = 200  # reference values below which a column (in a stratum) is not judged
Kind = Literal["missing", "unknown", "outside", "refused"]


class Columns:
    """The columns' side. Cells of all columns lie end to end in flat arrays; groups are padded to one width."""

    def __init__(self, plan: Plan, baseline: Baseline, family: int | None = None) -> None:
        columns = baseline.columns
        self.sizes = [c.cells for c in columns]
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)
        self.owner = np.repeat(np.arange(len(columns)), self.sizes)
        self.yardsticks = Yardsticks(columns)
        self.reference = np.array(
            [list(chain.from_iterable(c.counts[s] for c in columns)) for s in range(baseline.strata)],
            np.float64,
        )
        groups = [bets.grouped(c) for c in columns]
        self.freedom = np.array([g.max() for g in groups])
        self.width = int(self.freedom.max()) + 1
        self.group = np.concatenate([g + i * self.width for i, g in enumerate(groups)])
        self.centre = np.concatenate([bets.shares(c) for c in columns], axis=1)  # (strata, cells)
        self.centre_grouped = np.stack([self.gather(row) for row in self.centre])  # (strata, columns, width)
        rows = np.array([[sum(stratum) for stratum in c.counts] for c in columns]).T  # (strata, columns)
        self.watched = np.array([c.watched for c in columns]) & (rows >= _LEAST)
        self.any_watched = self.watched.any(axis=0)
        self.count = family or max(1, int(self.any_watched.sum()))
        tolerance = np.sqrt([plan.tolerances.get(c.name, plan.tolerance) for c in columns])
        error = plan.reference_error / 2
        worth = np.maximum(rows, 1)
        chances = [
            math.sqrt(chi_square_isf(error / (self.count * baseline.strata), int(k))) for k in self.freedom
        ]
        self.radius = tolerance + np.array(chances) / np.sqrt(worth)
        self._fixed(baseline, tolerance, worth, error)
        self.threshold = math.log(2 * plan.run_length)
        self.column_threshold = self.threshold + math.log(self.count)
        with np.errstate(divide="ignore"):
            self.log_weights = np.log(self.weights)
        self.ceiling = self.column_threshold + math.log(10) - np.maximum(self.log_weights, -50.0)

    def _fixed(self, baseline: Baseline, tolerance: Floats, worth: Floats, error: float) -> None:
        columns = baseline.columns
        made = [
            [bets.fixed(c, self.centre_grouped[s, i, : self.freedom[i] + 1]) for i, c in enumerate(columns)]
            for s in range(baseline.strata)
        ]
        most = max(weights.size for _, weights in made[0])
        total = sum(weights.size for row in made for _, weights in row)
        # One direction at a time, the reference errs by less than in its worst direction.
        radius = tolerance + normal_isf(error / total) / np.sqrt(worth)
        self.fixed = np.zeros((baseline.strata, len(columns), most, self.width))
        self.weights = np.zeros((len(columns), len(bets.MEMORIES) + most))
        self.weights[:, : len(bets.MEMORIES)] = LEARNING / len(bets.MEMORIES)
        for s, row in enumerate(made):
            for i, (laws, weights) in enumerate(row):
                size, cells = laws.shape
                centre = self.centre_grouped[s, i, :cells]
                reach = np.full(size, radius[s, i])
                payoffs = ball.shrunk(laws - centre, centre, reach, np.zeros(size))
                self.fixed[s, i, :size, :cells] = ball.log_payoff(payoffs, centre, reach)
                at = len(bets.MEMORIES)
                self.weights[i, at : at + size] = (1 - LEARNING) * weights

    def gather(self, cells: Floats | Ints) -> Floats:
        """Flat cells → (columns, width) groups."""
        sums = np.bincount(self.group, weights=cells, minlength=len(self.sizes) * self.width)
        return sums.reshape(len(self.sizes), self.width).astype(np.float64, copy=False)

    def totals(self, cells: Floats | Ints) -> Floats:
        """Flat cells → (columns,) sums."""
        return np.add.reduceat(cells, self.starts[:-1]).astype(np.float64)


class Shares:
    """The side of data quality: streams of rows of which some are bad."""

    def __init__(self, plan: Plan, baseline: Baseline) -> None:
        self.streams: list[tuple[int, Kind]] = [(-1, "refused")]
        for i, column in enumerate(baseline.columns):
            if i < baseline.features:
                self.streams.append((i, "missing"))
            if column.kind == "category":
                self.streams.append((i, "unknown"))
            else:
                self.streams.append((i, "outside"))
        size = len(baseline.columns)
        offsets = {"missing": 0, "unknown": size, "outside": 2 * size, "refused": 3 * size}
        # Where a stream's hits lie in (missing, unknown, outside, refused), and its rows in (values, rows, all rows).
        self.hits_at = np.array([offsets[kind] + max(i, 0) for i, kind in self.streams])
        rows_at = {"missing": size, "unknown": size, "outside": 0, "refused": 2 * size}
        # A row that was refused for a value out of range is a row of the traffic, and no value in a cell.
        every = 2 * size
        self.rows_at = np.array(
            [
                every if kind == "outside" and i < baseline.features else rows_at[kind] + max(i, 0)
                for i, kind in self.streams
            ]
        )
        tail = plan.reference_error / (len(self.streams) * baseline.strata)
        self.reference = np.zeros((baseline.strata, len(self.streams)))
        self.null = np.zeros_like(self.reference)
        for k, (i, kind) in enumerate(self.streams):
            for s in range(baseline.strata):
                hits = rows = 0
                if kind != "refused":
                    column = baseline.columns[i]
                    rows = sum(column.counts[s]) + column.missing[s]
                    # Both ends of the reference's own range are exceeded by 2 of n + 1 new values on average.
                    hits = {"missing": column.missing[s], "outside": 1}.get(kind, 0)
                    self.reference[s, k] = column.missing[s] / max(rows, 1) if kind == "missing" else 0.0
                upper = binomial_bounds(hits, rows, tail)[1] if rows else 0.0
                self.null[s, k] = min(upper + plan.excess_tolerance, 1 - 1e-9)
        null = np.maximum(self.null, 1e-9)[..., None]
        bet = null + (1 - null) * np.asarray(EXCESSES)
        self.hit, self.miss = np.log(bet / null), np.log((1 - bet) / (1 - null))
        self.threshold = math.log(2 * plan.run_length * len(self.streams))
        self.ceiling = self.threshold + math.log(10 * len(EXCESSES))


def digest(plan: Plan, baseline: Baseline) -> str:
    """What evidence depends on: baseline and plan, without what only the verdict reads."""
    neutral = msgspec.structs.replace(plan, min_psi=0.1, min_excess=0.005, min_effect_rows=200)
    text = msgspec.json.encode((neutral, baseline.digest), order="sorted")
    return hashlib.sha256(text).hexdigest()[:16]
