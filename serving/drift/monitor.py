"""From payloads to verdicts: looks at each predictor, closed by the clock and judged by one worker thread."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from serinus.errors import SerinusError
from serinus.watching import PairReport, Performance
from serving.drift.evaluate import Yardstick, evaluate, run_tests
from serving.drift.forward import Counts, Heard, Relay, fits
from serving.drift.lane import Comparisons, Lane, Look
from serving.drift.mailbox import Letter, Mailbox
from serving.drift.payload import (
    REQUEST_TYPE,
    RESPONSE_TYPE,
    Envelope,
    PayloadError,
    read_answers,
    read_rows,
)
from serving.drift.policy import MAX_PREDICTORS, Policy
from serving.drift.rows import RowReader
from serving.drift.second import Online, Opinion, Panel, Watch
from serving.drift.state import MemoryStore, Saved, Store, freeze, read, thaw
from serving.drift.verdict import TestResult, Verdict
from serving.drift.window import Sample

log = logging.getLogger("serinus.drift")

UNLISTED = "unlisted"
OUTCOMES = ("accepted", "dropped", "malformed", "ignored", "other_model", "failed", "merged", "repeated")
COUNTS_TYPE = "io.serinus.counts"
FORWARDS_A_LOOK = 5
KINDS = ("feature", "score", "data_quality", "pair")


@dataclass(frozen=True)
class Settings:
    """What the monitor needs to know.

    Args:
        window: rows of a look that the two-sample tests are given; ``max_age`` seconds after it was opened a window is
            tested as it is. A predictor that is silent for so long makes room for another.
        champion: the predictor that the others are compared with; empty: the first that is seen.
        threshold: calibrated probability at which estimated precision and recall are taken.
        replica: this program's name among those that forward their counts.
    """

    model: str
    digest: str
    window: int
    max_age: float
    champion: str = ""
    threshold: float = 0.5
    replica: str = ""


@dataclass(frozen=True)
class Evaluation:
    """A verdict, when it was reached (Unix seconds), and what it cost (seconds)."""

    verdict: Verdict
    time: float
    seconds: float


@dataclass
class State:
    """What metrics and /status are made of; read and written under one lock."""

    evaluations: dict[str, Evaluation] = field(default_factory=dict[str, Evaluation])
    estimated: dict[str, Performance] = field(default_factory=dict[str, Performance])
    pairs: dict[str, PairReport] = field(default_factory=dict[str, PairReport])
    payloads: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    events: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    rows: Counter[str] = field(default_factory=Counter[str])
    filling: dict[str, int] = field(default_factory=dict[str, int])
    primary: str = ""
    unsaved: int = 0
    opinions: dict[str, tuple[Opinion, ...]] = field(default_factory=dict[str, tuple[Opinion, ...]])
    online: dict[str, tuple[Online, ...]] = field(default_factory=dict[str, tuple[Online, ...]])

    def copy(self) -> State:
        """Another, that shares nothing that changes."""
        return State(
            dict(self.evaluations), dict(self.estimated), dict(self.pairs), self.payloads.copy(),
            self.events.copy(), self.rows.copy(), dict(self.filling), self.primary, self.unsaved,
            dict(self.opinions), dict(self.online),
        )  # fmt: skip

    def forget(self, predictor: str) -> None:
        """Drops a predictor."""
        for kept in (
            self.evaluations, self.estimated, self.pairs, self.rows, self.filling, self.opinions, self.online
        ):  # fmt: skip
            kept.pop(predictor, None)
        for counter in (self.payloads, self.events):
            for key in [key for key in counter if key[0] == predictor]:
                del counter[key]


class Monitor:
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
        relay: Relay | None = None,
        clock: Callable[[], float] = time.time,
        on_verdict: Callable[[Evaluation], None] = lambda evaluation: None,
        on_silence: Callable[[str], None] = lambda predictor: None,
        panel: Panel | None = None,
    ) -> None:
        self.settings = settings
        self.policy = policy
        self.yardstick = yardstick
        self.comparisons = Comparisons(yardstick, policy)
        self._reader = reader
        self._mailbox = Mailbox() if mailbox is None else mailbox
        self._store: Store = MemoryStore() if store is None else store
        self.relay = relay
        self._heard = Heard()
        self._number = 0
        self._clock = clock
        self._on_verdict = on_verdict
        self._on_silence = on_silence
        self._panel = panel
        self._lanes: dict[str, Lane] = {}
        self._tests: dict[str, tuple[TestResult, ...]] = {}
        self._seen: dict[str, float] = {}
        self._state = State(primary=settings.champion)
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._work, name="drift-worker", daemon=True)
        # Replicas forward more often than looks are closed, so that those of one hour meet in one look.
        self._pace = policy.look / FORWARDS_A_LOOK if relay else policy.look
        self._next = clock() + self._pace
        self._restore()

    # --- called by the HTTP server -----------------------------------------
    def submit(self, envelope: Envelope, body: bytes) -> bool:
        """Queue one payload; False if it was dropped. Never waits."""
        taken = self._mailbox.put(Letter(envelope, body))
        if not taken and envelope.kind != COUNTS_TYPE:  # counts are sent again
            self.count(envelope.predictor, "dropped")
        return taken

    def objects_to(self, counts: Counts) -> str:
        """Why counts of another replica cannot be taken in; empty if they can."""
        if self.relay:
            return "this program forwards its own counts and judges none"
        if counts.digest != self.settings.digest:
            return f"counted against bundle {counts.digest}, this monitor judges {self.settings.digest}"
        bins = self.yardstick.baseline.digest
        if {counts.sketch.baseline, counts.foreign.baseline} != {bins}:
            return f"counted in bins {counts.sketch.baseline}, this monitor judges {bins}"
        if not fits(counts.sketch, self.yardstick.baseline) or not fits(
            counts.foreign, self.yardstick.baseline
        ):
            return "counts of another shape than the bins that they name"
        if counts.scores.threshold != self.settings.threshold:
            return f"scores counted at threshold {counts.scores.threshold:g}, not {self.settings.threshold:g}"
        return ""

    def count(self, predictor: str, outcome: str) -> None:
        """Count a payload by what became of it."""
        with self._lock:
            if predictor not in self._seen and len(self._seen) < MAX_PREDICTORS and predictor != UNLISTED:
                self._seen[predictor] = self._clock()
            self._state.payloads[predictor if predictor in self._seen else UNLISTED, outcome] += 1

    def snapshot(self) -> State:
        """A copy of the state that the worker no longer touches."""
        with self._lock:
            return self._state.copy()

    def start(self) -> None:
        """Start the worker."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Take nothing more in, work off what is queued, end the worker, and keep or forward what was counted."""
        self._mailbox.close()
        if self._thread.is_alive():
            self._thread.join(timeout)
        if self.relay and not self._thread.is_alive():
            self._forward(self._clock())
        if not self._thread.is_alive():
            for predictor in self._lanes:
                self._keep(predictor)

    @property
    def alive(self) -> bool:
        """Whether the worker runs."""
        return self._thread.is_alive()

    # --- the worker --------------------------------------------------------
    def _work(self) -> None:
        while True:
            letter = self._mailbox.take(timeout=max(0.01, min(1.0, self._next - self._clock())))
            if letter is not None:
                self.process(letter)
            elif self._mailbox.closed:
                return
            self.close_due_looks()

    def process(self, letter: Letter) -> None:
        """Read one payload into its predictor's open look."""
        predictor = self._known(letter.envelope.predictor)
        try:
            outcome = self._take_in(predictor, letter)
        except PayloadError as error:
            log.warning("payload %s of %s cannot be read: %s", letter.envelope.request_id, predictor, error)
            outcome = "malformed"
        except Exception:
            # One payload must never end the monitor; the staleness alert tells if all fail.
            log.exception("payload %s of %s failed", letter.envelope.request_id, predictor)
            outcome = "failed"
        self.count(predictor, outcome)

    def close_due_looks(self) -> None:
        """Close every predictor's look when the time between looks has passed: all at once, so that they compare."""
        now = self._clock()
        if now < self._next:
            # A clock that was put back by hours would hold the next look up for as long.
            self._next = min(self._next, now + self._pace)
            return
        # Never two looks closer than the plan says, even if this thread was late.
        self._next = now + self._pace
        if self.relay:
            self._forward(now)
            return
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
        self._forget_silent(now)

    def _take_in(self, predictor: str, letter: Letter) -> str:
        now = self._clock()
        if letter.envelope.kind == REQUEST_TYPE:
            batch = self._reader.read(read_rows(letter.body))
            lane = self._lane(predictor, now)
            lane.add(batch, now)
            self._state.filling[predictor] = lane.open
            return "accepted"
        if letter.envelope.kind == RESPONSE_TYPE:
            answers = read_answers(letter.body)
            scores = [p for p in answers.probabilities if math.isfinite(p)]
            # A canary is another model: its scores are no drift of this one's.
            own = answers.digest is None or answers.digest == self.settings.digest
            self._lane(predictor, now).add_scores(
                scores, answers.digest or self.settings.digest, now, own=own
            )
            return "accepted" if own else "other_model"
        if letter.envelope.kind == COUNTS_TYPE:
            return self._merge(predictor, letter.body, now)
        return "ignored"

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

    def _forward(self, now: float) -> None:
        """Hand on what was counted since the last message that was taken; what cannot go now stays counted."""
        assert self.relay is not None
        for predictor, lane in self._lanes.items():
            if not self.relay.free(predictor):
                continue
            sketch, foreign = lane.take(now)
            if not sketch.rows and not any(map(any, (sketch + foreign).counts)):
                continue
            # Grows over restarts too, as long as the clock does.
            self._number = max(self._number + 1, int(now * 1000))
            self.relay.offer(
                Counts(
                    model=self.settings.model,
                    digest=self.settings.digest,
                    replica=self.settings.replica,
                    number=self._number,
                    predictor=predictor,
                    sketch=sketch,
                    foreign=foreign,
                    scores=lane.book.save(),
                )
            )
            lane.book.clear()
            with self._lock:
                self._state.rows[predictor] += sketch.rows
                self._state.filling[predictor] = 0

    def _lane(self, predictor: str, now: float) -> Lane:
        lane = self._lanes.get(predictor)
        if lane is None:
            if not self._state.primary and predictor != UNLISTED:
                self._state.primary = predictor
            lane = self._lanes[predictor] = self._open(predictor, now)
        return lane

    def _open(self, predictor: str, now: float) -> Lane:
        return Lane(
            self.comparisons,
            self.settings.window,
            self.settings.threshold,
            now,
            primary=predictor == self._state.primary,
            watch=Watch(self._panel) if self._panel else None,
        )

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
            begun = _begun(before.verdict if before else None, verdict)
            for kind in KINDS:
                self._state.events[predictor, kind] += kind in begun
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

    # --- which predictors, and what is kept of them -------------------------
    def _known(self, predictor: str) -> str:
        """The name under which a predictor is watched; the longest silent one makes room if it must."""
        now = self._clock()
        if predictor in self._seen:
            self._seen[predictor] = now
            return predictor
        with self._lock:
            if len(self._seen) >= MAX_PREDICTORS:
                oldest = min((p for p in self._seen if p != self._state.primary), key=self._seen.__getitem__)
                if now - self._seen[oldest] < self.settings.max_age:
                    return UNLISTED
                self._forget(oldest)
            self._seen[predictor] = now
        return predictor

    def _forget_silent(self, now: float) -> None:
        """What was found of a predictor that is gone would otherwise stand, and alert, for ever."""
        with self._lock:
            for predictor, seen in list(self._seen.items()):
                if predictor != self._state.primary and now - seen >= self.settings.max_age:
                    self._forget(predictor)

    def _forget(self, predictor: str) -> None:
        log.info("%s has long been silent: it is no longer watched", predictor)
        del self._seen[predictor]
        self._lanes.pop(predictor, None)
        self._tests.pop(predictor, None)
        self._state.forget(predictor)
        try:
            self._store.forget(predictor)
        except OSError as error:
            log.warning("the state of %s could not be removed: %s", predictor, error)
        self._on_silence(predictor)

    def _keep(self, predictor: str) -> None:
        if predictor == UNLISTED:
            return
        evaluation = self._state.evaluations.get(predictor)
        try:
            self._store.save(
                predictor,
                freeze(
                    predictor,
                    self._lanes[predictor],
                    self.settings.digest,
                    evaluation.time if evaluation else 0.0,
                    self._state.rows[predictor],
                    self._clock(),
                    self._heard.save(),
                ),
            )
        except (SerinusError, OSError) as error:
            # Watching goes on; a restart would start anew, which the metric tells.
            log.warning("the state of %s could not be kept: %s", predictor, error)
            with self._lock:
                self._state.unsaved += 1

    def _restore(self) -> None:
        kept: list[Saved] = []
        for predictor, data in self._store.load().items():
            saved = read(data, self.settings.digest)
            if saved is None or saved.predictor != predictor:
                self._store.forget(
                    predictor
                )  # a promoted model would leave its predecessors' states for ever
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
        self._seen[predictor] = saved.at or self._clock()
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


def _begun(before: Verdict | None, now: Verdict) -> list[str]:
    """What was not so at the look before."""
    found = {
        "feature": (before is not None and before.feature_status == "drift", now.feature_status == "drift"),
        "score": (before is not None and before.score.status == "drift", now.score.status == "drift"),
        "data_quality": (before is not None and before.quality == "bad", now.quality == "bad"),
    }
    return [kind for kind, (was, is_) in found.items() if is_ and not was]
