"""The e-detector: sketches in, evidence out, with a guaranteed average run length between false alarms.

    watch = Detector(Plan(budget="90d", look="5m"), baseline)
    evidence = watch.start()
    for sketch in looks:                      # tally.take() each five minutes
        evidence = watch.update(evidence, sketch)
        report = watch.judge(evidence)

Pure: no clock, no I/O, and the same looks give the same evidence to the bit. ``docs/drift.md`` derives the guarantee.
"""

from __future__ import annotations

import math
from itertools import chain

import msgspec
import numpy as np

from serinus.errors import SerinusError

from . import ball
from .bets import MEMORIES
from .bins import Baseline, Floats, Ints
from .reporting import Reading, kish, report
from .sketch import Sketch
from .tables import EXCESSES, Columns, Shares, digest
from .types import Evidence, Plan, Report

_KEEP = np.array([0.5 ** (1 / half) for half in MEMORIES])
_KEEP_BOTH = np.stack([_KEEP, _KEEP**2], axis=-1)[:, None, :]  # of the sum of weights, and of their squares


class Detector:
    """Plan and baseline, prepared once. Everything that changes is in ``Evidence``.

    Args:
        family: columns that share the budget; None: all that are watched. A baseline of several models side by side
            names the columns of one.
    """

    def __init__(self, plan: Plan, baseline: Baseline, *, family: int | None = None) -> None:
        self.plan = plan
        self.baseline = baseline
        self.columns = Columns(plan, baseline, family)
        self.shares = Shares(plan, baseline)
        self._digest = digest(plan, baseline)
        self._baseline = baseline.digest

    def start(self) -> Evidence:
        """Evidence before the first look."""
        c, s = self.columns, self.shares
        cells, size = int(c.starts[-1]), len(c.sizes)
        return Evidence(
            plan=self._digest,
            logs=bytes(4 * c.weights.size),
            recent=bytes(4 * len(MEMORIES) * cells),
            weights=bytes(4 * len(MEMORIES) * size * 2),
            waiting=bytes(8 * cells),
            last=bytes(8 * cells),
            shares=bytes(4 * len(s.streams) * len(EXCESSES)),
            seen=bytes(4 * len(s.streams) * 4),
        )

    def update(self, evidence: Evidence, sketch: Sketch, *, stratum: int = 0) -> Evidence:
        """Takes in one look.

        ``stratum`` is the context that the whole look lies in. A column with fewer than ``min_rows`` values waits for
        the next look of the same stratum; a look without rows changes nothing.

        Raises:
            SerinusError: SRN-WATCHING-002 if evidence or sketch belong to another plan or baseline,
                SRN-WATCHING-005 if there is no such stratum.
        """
        self._check(evidence)
        if sketch.baseline != self._baseline:
            raise SerinusError(
                "SRN-WATCHING-002",
                f"a sketch of baseline {sketch.baseline} is no look at {self._baseline}",
                hint="Sketches and evidence belong to one model's baseline; start anew after a promotion.",
            )
        if not 0 <= stratum < self.baseline.strata:
            raise SerinusError(
                "SRN-WATCHING-005",
                f"stratum {stratum}, the baseline has {self.baseline.strata}",
                hint="Number the strata from 0 as in the baseline.",
            )
        if not sketch.rows and not any(map(any, sketch.counts)):
            return evidence
        counts = np.fromiter(chain.from_iterable(sketch.counts), np.int64, int(self.columns.starts[-1]))
        read = self._read(evidence)
        return msgspec.structs.replace(
            evidence,
            looks=evidence.looks + 1,
            stratum=stratum,
            **self._drift(read, counts, stratum, carried=evidence.stratum == stratum),
            **self._quality(read, sketch, counts, stratum),
        )

    def _drift(self, read: Reading, counts: Ints, stratum: int, *, carried: bool) -> dict[str, bytes]:
        c = self.columns
        if carried:
            counts = counts + read.waiting
        rows = c.totals(counts)
        ready = (rows >= self.plan.min_rows) & c.watched[stratum]
        centre = c.centre[stratum]
        # The exponent: by Hoelder's inequality dependence over m rows is paid for by the m-th root.
        share = np.minimum(1 / self.plan.dependence, self.plan.most_rows / np.maximum(rows, 1.0))
        weight = np.where(ready, share, 0.0)
        grouped = c.gather(counts)
        gains = np.empty((len(c.sizes), c.weights.shape[1]))
        gains[:, : len(MEMORIES)] = self._learnt(read, stratum, grouped)
        gains[:, len(MEMORIES) :] = np.einsum("fk,fbk->fb", grouped, c.fixed[stratum])
        logs = np.minimum(np.maximum(read.logs + weight[:, None] * gains, 0.0), c.ceiling)
        excess = counts - rows[c.owner] * centre
        cells_ready = ready[c.owner]
        recent = np.where(cells_ready, read.recent * _KEEP[:, None] + excess, read.recent)
        weights = np.where(ready[:, None], read.weights * _KEEP_BOTH + rows[:, None], read.weights)
        return {
            "logs": floor32(logs).tobytes(),
            "recent": recent.astype("<f4").tobytes(),
            "weights": weights.astype("<f4").tobytes(),
            "waiting": np.where(cells_ready | ~c.watched[stratum][c.owner], 0, counts)
            .astype("<i8")
            .tobytes(),
            "last": np.where(cells_ready, counts, read.last).astype("<i8").tobytes(),
        }

    def _learnt(self, read: Reading, stratum: int, grouped: Floats) -> Floats:
        """Log of the learning bets' e-values, (columns, memories); the bets know the looks before this one only."""
        c = self.columns
        centre = c.centre_grouped[stratum]
        rows = read.weights[..., 0]
        gathered = np.stack([c.gather(row) for row in read.recent])
        deviation = gathered / (rows + 2.0 * c.freedom)[..., None].clip(1.0)
        worth = kish(read.weights) / self.plan.dependence
        noise = np.sqrt(c.freedom / np.maximum(worth, 1.0))
        payoff = ball.shrunk(deviation, centre, c.radius[stratum], noise)
        logs = ball.log_payoff(payoff, centre, c.radius[stratum])
        return np.einsum("fk,mfk->fm", grouped, logs)

    def _quality(self, read: Reading, sketch: Sketch, counts: Ints, stratum: int) -> dict[str, bytes]:
        s = self.shares
        present = self.columns.totals(counts)
        absent = np.array([sketch.missing, sketch.unknown])
        hits = np.array([*sketch.missing, *sketch.unknown, *sketch.outside, sketch.refused])[s.hits_at]
        rows = np.concatenate([present, present + absent.sum(axis=0), [sketch.rows]])[s.rows_at]
        share = np.minimum(1 / self.plan.dependence, self.plan.most_rows / np.maximum(rows, 1.0))
        gain = hits[:, None] * s.hit[stratum] + (rows - hits)[:, None] * s.miss[stratum]
        logs = np.clip(read.shares + share[:, None] * gain, 0.0, s.ceiling)
        now = np.stack([hits, rows], axis=1)
        seen = np.concatenate([now, read.seen[:, 2:] * _KEEP[0] + now], axis=1)
        return {"shares": floor32(logs).tobytes(), "seen": seen.astype("<f4").tobytes()}

    def judge(self, evidence: Evidence) -> Report:
        """What the evidence says.

        Raises:
            SerinusError: SRN-WATCHING-002 if the evidence belongs to another plan or baseline.
        """
        self._check(evidence)
        return report(self.plan, self.baseline, self.columns, self.shares, evidence, self._read(evidence))

    def _read(self, evidence: Evidence) -> Reading:
        size, streams = len(self.columns.sizes), len(self.shares.streams)
        return Reading(
            logs=_array(evidence.logs, "<f4", (size, -1)),
            recent=_array(evidence.recent, "<f4", (len(MEMORIES), -1)),
            weights=_array(evidence.weights, "<f4", (len(MEMORIES), size, 2)),
            waiting=np.frombuffer(evidence.waiting, "<i8"),
            last=np.frombuffer(evidence.last, "<i8"),
            shares=_array(evidence.shares, "<f4", (streams, -1)),
            seen=_array(evidence.seen, "<f4", (streams, 4)),
        )

    def _check(self, evidence: Evidence) -> None:
        if evidence.plan != self._digest:
            raise SerinusError(
                "SRN-WATCHING-002",
                f"evidence of plan {evidence.plan} under plan {self._digest}",
                hint="Evidence belongs to one plan and baseline; start anew when either changes.",
            )


def floor32(values: Floats) -> np.ndarray:
    """float32, never above the value: rounding must not create evidence."""
    rounded = values.astype("<f4")
    return np.where(rounded > values, np.nextafter(rounded, np.float32(-math.inf)), rounded).astype("<f4")


def _array(data: bytes, kind: str, shape: tuple[int, ...]) -> Floats:
    return np.frombuffer(data, kind).reshape(shape).astype(np.float64)
