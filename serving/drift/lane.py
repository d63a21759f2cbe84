"""One predictor: what passed since the last look, and the evidence of all looks before. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serinus.watching import (
    Baseline,
    Detector,
    Evidence,
    PairDetector,
    PairEvidence,
    PairReport,
    Performance,
    Report,
    Sketch,
    Tally,
    empty,
)
from serinus.watching.bins import Floats
from serving.drift.policy import OTHER_SHARE, PRIMARY_SHARE, Policy
from serving.drift.rows import Batch
from serving.drift.scores import ScoreBook
from serving.drift.second import Watch
from serving.drift.window import Sample, Window

_PIECE = 256
"""Rows that are counted at once: small batches cost several times as much a row."""


class Comparisons:
    """The detectors of all predictors, prepared once: the champion's, the others', and of both together."""

    def __init__(self, baseline: Baseline, policy: Policy) -> None:
        self.baseline = baseline
        self.primary = Detector(policy.plan(PRIMARY_SHARE), self.baseline)
        self.other = Detector(policy.plan(OTHER_SHARE), self.baseline)
        self.pair = PairDetector(policy.plan(OTHER_SHARE), self.baseline)


@dataclass(frozen=True)
class Look:
    """A look that was closed. ``sketch`` holds features and this model's scores, ``together`` all scores."""

    sketch: Sketch
    together: Sketch
    report: Report
    estimated: Performance
    sample: Sample | None


class Lane:
    """A predictor's side of the monitor. Memory is bounded, whatever passes."""

    def __init__(
        self,
        comparisons: Comparisons,
        window: int,
        threshold: float,
        now: float,
        *,
        primary: bool,
        watch: Watch | None = None,
    ) -> None:
        self.primary = primary
        self.watch = watch
        self.detector = comparisons.primary if primary else comparisons.other
        self.evidence: Evidence = self.detector.start()
        self.pairs = comparisons.pair
        self.pair: PairEvidence = self.pairs.start()
        self.window = Window(window, comparisons.baseline.features, now)
        self.book = ScoreBook(threshold)
        self.open = 0
        self._tally = Tally(comparisons.baseline)
        self._foreign = Tally(comparisons.baseline)
        self._nothing = empty(comparisons.baseline)
        self._merged = (self._nothing, self._nothing)
        self._pending: list[Floats] = []
        self._waiting = 0
        self._scores: list[float] = []
        self._scored = ("", True)

    def add(self, batch: Batch, now: float) -> None:
        """Takes the rows of a payload in."""
        if len(batch.vectors):
            self._pending.append(batch.vectors)
            self._waiting += len(batch.vectors)
            if self._waiting >= _PIECE:
                self._count(now)
        if not batch.clean:
            self._tally.add(
                np.empty((0, batch.vectors.shape[1])),
                at=now,
                unknown=batch.unknown,
                rejected=batch.rejected,
                refused=sum(batch.refused.values()),
            )
        self.open += batch.rows

    def add_scores(self, scores: Sequence[float], digest: str, now: float, *, own: bool) -> None:
        """Takes answered probabilities in; ``own`` says whether the bundle's model gave them."""
        if self._scored != (digest, own):
            self._count_scores(now)
            self._scored = (digest, own)
        self._scores.extend(scores)
        if len(self._scores) >= _PIECE:
            self._count_scores(now)

    def merge(self, sketch: Sketch, foreign: Sketch) -> None:
        """Takes in what another replica counted. Raises SRN-WATCHING-002 if in other bins."""
        self._merged = (self._merged[0] + sketch, self._merged[1] + foreign)
        self.open += sketch.rows

    def _count_scores(self, now: float) -> None:
        if self._scores:
            scores, (digest, own) = np.array(self._scores), self._scored
            self._scores = []
            (self._tally if own else self._foreign).add_scores(scores, at=now)
            if own:
                self.window.add_scores(scores)
            self.book.add(scores, digest)

    def _count(self, now: float) -> None:
        self._count_scores(now)
        if self._pending:
            rows = self._pending[0] if len(self._pending) == 1 else np.concatenate(self._pending)
            self._pending, self._waiting = [], 0
            self._tally.add(rows, at=now)
            self.window.add(rows)

    def peek(self, now: float) -> tuple[Sketch, Sketch]:
        """What the open look holds: features and this model's scores, and other models' scores."""
        self._count(now)
        return self._tally.sketch() + self._merged[0], self._foreign.sketch() + self._merged[1]

    def take(self, now: float) -> tuple[Sketch, Sketch]:
        """The same, and the look starts anew."""
        self._count(now)
        merged = self._merged
        self._merged, self.open = (self._nothing, self._nothing), 0
        return self._tally.take() + merged[0], self._foreign.take() + merged[1]

    def close(self, now: float, max_age: float) -> Look | None:
        """Closes the look; None if nothing came. The window of the tests is given out when it is full or old."""
        sketch, foreign = self.take(now)
        together = sketch + foreign
        if not together.rows and not any(map(any, together.counts)):
            return None
        self.evidence = self.detector.update(self.evidence, sketch)
        due = self.window.rows and (self.window.full or now - self.window.opened >= max_age)
        return Look(
            sketch=sketch,
            together=together,
            report=self.detector.judge(self.evidence),
            estimated=self.book.performance(),
            sample=self.window.close(now) if due else None,
        )

    def compare(self, champion: Look, own: Look) -> PairReport:
        """Its look against the champion's of the same time."""
        self.pair = self.pairs.update(self.pair, champion.together, own.together)
        return self.pairs.judge(self.pair)
