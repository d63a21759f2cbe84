"""Predictor against predictor at the same hour: the canary's inputs and scores against the champion's.

Both answer the same traffic, so the time of day, the pay-day and the news are in both and cancel. Given what both saw
together in a cell, the canary's part of it follows Fisher's noncentral hypergeometric law, whatever the base law is;
no reference is needed and none is trusted. Requests must be routed at random: then serial dependence of the traffic
does no harm either (``docs/evidence.md``, sections 1 and 2, whose primitive this is).
"""

from __future__ import annotations

import math
from itertools import chain
from typing import Annotated

import msgspec
import numpy as np

from serinus.errors import SerinusError
from serinus.evidence.primitive import log_likelihoods

from .bins import Baseline, Floats, Ints
from .detector import floor32
from .effects import between
from .sketch import Sketch
from .tables import digest
from .types import ColumnReport, Plan, Status

_LOG10 = math.log(10)
_RATIOS = (1.25, 2.0, 4.0, 10.0)  # alternatives, as multiples of the margin
_WEIGHTS = np.log([0.2, 0.4, 0.25, 0.15])


class PairEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What survives a restart: float32 logs (questions, sides, alternatives), and the last looks' counts, int64."""

    plan: str
    looks: int = 0
    logs: bytes = b""
    waiting: bytes = b""
    last: bytes = b""


class PairReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparison says; see ``Report``."""

    looks: int
    status: Status
    log10_e: float
    threshold_log10: float
    columns: tuple[ColumnReport, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the columns in which the predictors differ."""
        return tuple(column.name for column in self.columns if column.status == "drift")


class PairDetector:
    """Compares the looks of two predictors; prepared once.

    Args:
        plan: its budget, look, ``min_rows``, ``min_psi`` and ``min_effect_rows`` are used; looks wait until both
            predictors have that many rows.
        margin: odds ratio between the predictors, in either direction, that is no difference.
    """

    def __init__(
        self, plan: Plan, baseline: Baseline, *, margin: Annotated[float, msgspec.Meta(ge=1)] = 1.1
    ) -> None:
        self.plan, self.baseline = plan, baseline
        base = math.log(margin)
        up = [base + math.log(r) for r in _RATIOS]
        self._thetas = tuple([-t for t in reversed(up)] + [-base, base] + up)
        self._sizes = [c.cells for c in baseline.columns]
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)]).astype(np.int64)
        owner, upward = [], []
        for i, column in enumerate(baseline.columns):
            # Numbers: values above each edge. Categories: each level. Both: missing values.
            questions = column.cells - 1 if column.kind == "number" else column.cells
            owner += [i] * (questions + 1)
            upward += [column.kind == "number"] * questions + [False]
        self._owner = np.array(owner, np.int64)
        self._count = np.bincount(self._owner, minlength=len(self._sizes))
        self.threshold = math.log(plan.run_length)
        self.column_threshold = self.threshold + math.log(max(1, len(self._sizes)))
        self._ceiling = self.column_threshold + math.log(2 * self._count.max() * 100)
        self._digest = f"{digest(plan, baseline)}/{margin:g}"

    def start(self) -> PairEvidence:
        """Evidence before the first look."""
        cells = 2 * (int(self._starts[-1]) + len(self._sizes))
        return PairEvidence(
            plan=self._digest,
            logs=bytes(4 * self._owner.size * 2 * len(_RATIOS)),
            waiting=bytes(8 * cells),
            last=bytes(8 * cells),
        )

    def _counts(self, sketch: Sketch) -> Ints:
        """Cells of all columns, then what is missing of each."""
        absent = [m + u for m, u in zip(sketch.missing, sketch.unknown, strict=True)]
        return np.array([*chain.from_iterable(sketch.counts), *absent], np.int64)

    def _questions(self, counts: Ints) -> tuple[Ints, Ints]:
        """(hits, units) of every question, in the order of ``_owner``."""
        hits: list[Ints] = []
        units: list[Ints] = []
        for i, column in enumerate(self.baseline.columns):
            cells = counts[self._starts[i] : self._starts[i + 1]]
            absent = counts[self._starts[-1] + i]
            asked = np.cumsum(cells[::-1])[::-1][1:] if column.kind == "number" else cells
            hits += [asked, absent[None]]
            units += [np.full(asked.size, cells.sum()), (cells.sum() + absent)[None]]
        return np.concatenate(hits), np.concatenate(units)

    def update(self, evidence: PairEvidence, champion: Sketch, canary: Sketch) -> PairEvidence:
        """Takes in what both saw in one look. A look in which either is too thin waits for the next one.

        Raises:
            SerinusError: SRN-WATCHING-002 if evidence or a sketch belongs to another plan or baseline.
        """
        self._check(evidence)
        for sketch in (champion, canary):
            if sketch.baseline != self.baseline.digest:
                raise SerinusError(
                    "SRN-WATCHING-002",
                    f"a sketch of baseline {sketch.baseline} is no look at {self.baseline.digest}",
                    hint="Both predictors are counted in the bins of one baseline.",
                )
        both = np.stack([self._counts(champion), self._counts(canary)])
        both = both + np.frombuffer(evidence.waiting, "<i8").reshape(2, -1)
        looks = evidence.looks + 1
        # A look too thin for an effect could never be judged, however short looks are.
        if both.sum(axis=1).min() < max(self.plan.min_rows, self.plan.min_effect_rows) * len(self._sizes):
            return msgspec.structs.replace(evidence, looks=looks, waiting=both.astype("<i8").tobytes())
        (hits_s, units_s), (hits_c, units_c) = map(self._questions, both)
        asked = (units_s > 0) & (units_c > 0) & (hits_s + hits_c > 0)
        gains = np.zeros((self._owner.size, 2, len(_RATIOS)))
        if asked.any():
            curve = log_likelihoods(
                units_c[asked], units_s[asked], hits_c[asked], hits_s[asked], self._thetas
            )
            half = len(_RATIOS)
            gains[asked, 0] = curve[:, :half][:, ::-1] - curve[:, [half]]
            gains[asked, 1] = curve[:, half + 2 :] - curve[:, [half + 1]]
        logs = np.clip(self._logs(evidence) + gains, 0.0, self._ceiling)
        return msgspec.structs.replace(
            evidence,
            looks=looks,
            logs=floor32(logs).tobytes(),
            waiting=bytes(len(evidence.waiting)),
            last=both.astype("<i8").tobytes(),
        )

    def judge(self, evidence: PairEvidence) -> PairReport:
        """Which columns differ between the predictors: evidence and effect."""
        self._check(evidence)
        mixed = np.logaddexp.reduce(
            (self._logs(evidence) + _WEIGHTS - math.log(2)).reshape(self._owner.size, -1), axis=1
        )
        last = np.frombuffer(evidence.last, "<i8").reshape(2, -1)
        logs = [
            float(np.logaddexp.reduce(mixed[self._owner == i])) - math.log(self._count[i])
            for i in range(len(self._sizes))
        ]
        columns = tuple(self._column(i, log_e, last) for i, log_e in enumerate(logs))
        known = any(c.status != "no_data" for c in columns)
        return PairReport(
            looks=evidence.looks,
            status="drift" if any(c.status == "drift" for c in columns) else "stable" if known else "no_data",
            log10_e=(float(np.logaddexp.reduce(logs)) - math.log(len(logs))) / _LOG10,
            threshold_log10=self.threshold / _LOG10,
            columns=columns,
        )

    def _column(self, i: int, log_e: float, last: Ints) -> ColumnReport:
        column = self.baseline.columns[i]
        counts: Floats = last[:, self._starts[i] : self._starts[i + 1]].astype(np.float64)
        found = between(column, counts[0], counts[1], minimum=self.plan.min_effect_rows)
        evidence = log_e >= self.column_threshold
        material = found is not None and found.material(self.plan.min_psi)
        status: Status = "no_data" if found is None else "drift" if evidence and material else "stable"
        return ColumnReport(
            name=column.name,
            status=status,
            reason="too few values in the last look"
            if found is None
            else f"PSI {found.psi:.3f} between the predictors",
            log10_e=log_e / _LOG10,
            threshold_log10=self.column_threshold / _LOG10,
            evidence=evidence,
            material=material,
            effect=found,
        )

    def _logs(self, evidence: PairEvidence) -> Floats:
        return (
            np.frombuffer(evidence.logs, "<f4").reshape(self._owner.size, 2, len(_RATIOS)).astype(np.float64)
        )

    def _check(self, evidence: PairEvidence) -> None:
        if evidence.plan != self._digest:
            raise SerinusError(
                "SRN-WATCHING-002",
                f"evidence of plan {evidence.plan} under plan {self._digest}",
                hint="Evidence belongs to one plan and baseline; start anew when either changes.",
            )
