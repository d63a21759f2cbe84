"""From payloads to verdicts: looks at each predictor, closed by the clock and judged by one worker thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

import msgspec

from serving.drift.evaluate import Yardstick, evaluate, run_tests
from serving.drift.forward import Counts, Heard, fits
from serving.drift.intake import Intake
from serving.drift.lane import Lane, Look
from serving.drift.mailbox import Letter, Mailbox
from serving.drift.measure import Measure
from serving.drift.policy import MAX_PREDICTORS, Policy
from serving.drift.report import COUNTS_TYPE, KINDS, UNLISTED, Evaluation, Settings, begun
from serving.drift.rows import RowReader
from serving.drift.scores import ScoreBook
from serving.drift.second import Panel
from serving.drift.state import Saved, Store, read, thaw
from serving.drift.verdict import TestResult
from serving.drift.window import Sample

log = logging.getLogger("serinus.drift")


class Monitor(Intake):
    """Takes payloads in without waiting, and judges each look.

    ``on_verdict`` is called in the worker thread after each evaluation, and ``on_silence``
    when a predictor is no longer watched; they must not block and must not raise.
    """

    def __init__(
        self,
        settings: Settings,
        yardstick: Yardstick,
        reader: RowReader,
        policy: Policy,
        *,
        mailbox: Mailbox | None = None,
        store: Store | None = None,
        clock: Callable[[], float] = time.time,
        on_verdict: Callable[[Evaluation], None] = lambda evaluation: None,
        on_silence: Callable[[str], None] = lambda predictor: None,
        panel: Panel | None = None,
    ) -> None:
        measure = Measure(settings.digest, settings.threshold, reader, yardstick.baseline)
        super().__init__(
            settings,
            measure,
            policy,
            pace=policy.look,
            mailbox=mailbox,
            store=store,
            clock=clock,
            panel=panel,
        )
        self.yardstick = yardstick
        self._heard = Heard()
        self._scores = ScoreBook(settings.threshold)
        self._on_verdict = on_verdict
        self._on_silence = on_silence
        self._tests: dict[str, tuple[TestResult, ...]] = {}
        self._restore()

    def objects_to(self, counts: Counts) -> str:
        """Why counts of another replica cannot be taken in; empty if they can."""
        if counts.digest != self.measure.digest:
            return f"counted by bundle {counts.digest}, this monitor counts by {self.measure.digest}"
        baseline = self.measure.baseline
        bins = baseline.digest
        if {counts.sketch.baseline, counts.foreign.baseline} != {bins}:
            return f"counted in bins {counts.sketch.baseline}, this monitor judges {bins}"
        if not fits(counts.sketch, baseline) or not fits(counts.foreign, baseline):
            return "counts of another shape than the bins that they name"
        if counts.scores.threshold != self.settings.threshold:
            return f"scores counted at threshold {counts.scores.threshold:g}, not {self.settings.threshold:g}"
        if not self._scores.takes(counts.scores):
            return "scores in other cells, or numbers of them that cannot be"
        return ""

    def close(self, now: float) -> None:
        """Judge every look, compare them, and keep what was found."""
        looks: dict[str, Look] = {}
        for predictor in list(self._lanes):
            try:
                look = self._judge(predictor, now)
            except Exception:
                log.exception("the look at %s failed", predictor)
                continue
            if look is not None:
                looks[predictor] = look
        try:
            self._compare(looks)
        except Exception:
            log.exception("the comparison with the champion failed")
        for predictor in looks:
            self._keep(predictor)

    def _end(self) -> None:
        pass  # an open look is kept as far as it had come

    def _take_other(self, predictor: str, letter: Letter, now: float) -> str:
        if letter.envelope.kind != COUNTS_TYPE:
            return "ignored"
        return self._merge(predictor, letter.body, now)

    def _numbers(self) -> Mapping[str, int]:
        return self._heard.save()

    def _merge(self, predictor: str, body: bytes, now: float) -> str:
        """Takes in what another replica counted, once."""
        counts = msgspec.json.decode(body, type=Counts)
        if not self._heard.new(f"{predictor}/{counts.replica}", counts.number):
            return "repeated"
        lane = self._lane(predictor, now)
        lane.merge(counts.sketch, counts.foreign)
        lane.book.merge(counts.scores)
        self._state.filling[predictor] = lane.open
        return "merged"

    def _judge(self, predictor: str, now: float) -> Look | None:
        started = time.perf_counter()
        look = self._lanes[predictor].close(now, self.settings.max_age)
        if look is None:
            return None
        if look.sample is not None:
            self._tests[predictor] = run_tests(self.yardstick, look.sample, self.policy)
        tests = self._tests.get(predictor)
        verdict = evaluate(predictor, self.yardstick, look.report, look.sketch, tests, self.policy)
        evaluation = Evaluation(verdict, now, time.perf_counter() - started)
        with self._lock:
            before = self._state.evaluations.get(predictor)
            self._state.evaluations[predictor] = evaluation
            self._state.estimated[predictor] = look.estimated
            self._state.rows[predictor] += look.sketch.rows
            self._state.filling[predictor] = 0
            new = begun(before.verdict if before else None, verdict)
            for kind in KINDS:
                self._state.events[predictor, kind] += kind in new
        log.info(
            "look at %s: %d rows, features %s %s, score %s, quality %s %s",
            predictor, verdict.rows, verdict.feature_status, ",".join(verdict.drifted),
            verdict.score.status, verdict.quality, verdict.quality_reason,
        )  # fmt: skip
        self._on_verdict(evaluation)
        if look.sample is not None:
            self._hear(predictor, look.sample)
        return look

    def _hear(self, predictor: str, sample: Sample) -> None:
        """Second opinions, once the verdict is out: they take longer than it, and must not cost it."""
        watch = self._lanes[predictor].watch
        if self._panel is None or watch is None:
            return
        try:
            opinions, online = self._panel.judge(sample), watch.take(sample)
        except Exception:
            log.exception("the second opinions on %s failed", predictor)
            return
        with self._lock:
            self._state.opinions[predictor], self._state.online[predictor] = opinions, online

    def _compare(self, looks: dict[str, Look]) -> None:
        """Each predictor with the champion, where both were seen in this look."""
        champion = looks.get(self._state.primary)
        if champion is None:
            return
        for predictor, look in looks.items():
            if predictor in (self._state.primary, UNLISTED):
                continue
            found = self._lanes[predictor].compare(champion, look)
            with self._lock:
                before = self._state.pairs.get(predictor)
                self._state.pairs[predictor] = found
                if found.status == "drift" and (before is None or before.status != "drift"):
                    self._state.events[predictor, "pair"] += 1

    def _forget_silent(self, now: float) -> None:
        super()._forget_silent(now)
        if self._roster.silent(self._state.primary, now):
            # Nobody to compare with: after a promotion the monitor waits for its new bundle.
            with self._lock:
                self._state.pairs.clear()

    def _forget(self, predictor: str) -> None:
        super()._forget(predictor)
        self._tests.pop(predictor, None)
        self._on_silence(predictor)

    def _restore(self) -> None:
        kept: list[Saved] = []
        for predictor, data in self._store.load().items():
            saved = read(data, self.measure.digest)
            if saved is None or saved.predictor != predictor:
                # A promoted model would leave its predecessors' states for ever.
                self._store.forget(predictor)
            else:
                kept.append(saved)
        for saved in sorted(kept, key=lambda s: -s.at)[:MAX_PREDICTORS]:
            if not self._state.primary and saved.primary:
                self._state.primary = saved.predictor
            lane = self._open(saved.predictor, self._clock())
            if thaw(lane, saved):
                self._heard = Heard({**self._heard.save(), **saved.heard})
                self._go_on(saved, lane)

    def _go_on(self, saved: Saved, lane: Lane) -> None:
        predictor = saved.predictor
        self._lanes[predictor] = lane
        self._roster.go_on(predictor, saved.at or self._clock())
        self._state.rows[predictor] = saved.rows
        self._state.filling[predictor] = lane.open
        if saved.at:
            report = lane.detector.judge(lane.evidence)
            verdict = evaluate(predictor, self.yardstick, report, saved.sketch, None, self.policy)
            self._state.evaluations[predictor] = Evaluation(verdict, saved.at, 0.0)
            self._state.estimated[predictor] = lane.book.performance()
        if lane.pair.looks:
            self._state.pairs[predictor] = lane.pairs.judge(lane.pair)
        log.info("%s goes on where it stood, after %d rows", predictor, saved.rows)
