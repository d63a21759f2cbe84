"""Taking payloads in: a queue that never waits, one worker thread, an open look for each predictor."""

from __future__ import annotations

import logging
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from serinus.errors import SerinusError
from serving.drift.lane import Comparisons, Lane
from serving.drift.mailbox import Letter, Mailbox, Recent
from serving.drift.measure import Measure
from serving.drift.payload import (
    REQUEST_TYPE,
    RESPONSE_TYPE,
    Envelope,
    PayloadError,
    read_answers,
    read_rows,
)
from serving.drift.policy import Policy
from serving.drift.report import COUNTS_TYPE, UNLISTED, Settings, State
from serving.drift.roster import Roster
from serving.drift.second import Panel, Watch
from serving.drift.state import MemoryStore, Store, freeze

log = logging.getLogger("serinus.drift")


class Intake(ABC):
    """What a monitor that judges and a replica that only counts do alike.

    Args:
        pace: seconds between two calls of ``close``.
    """

    def __init__(
        self,
        settings: Settings,
        measure: Measure,
        policy: Policy,
        *,
        pace: float,
        mailbox: Mailbox | None = None,
        store: Store | None = None,
        clock: Callable[[], float] = time.time,
        panel: Panel | None = None,
    ) -> None:
        self.settings = settings
        self.policy = policy
        self.measure = measure
        self.comparisons = Comparisons(measure.baseline, policy)
        self._mailbox = Mailbox() if mailbox is None else mailbox
        self._recent = Recent()
        self._store: Store = MemoryStore() if store is None else store
        self._clock = clock
        self._panel = panel
        self._lanes: dict[str, Lane] = {}
        self._roster = Roster(settings.max_age)
        self._state = State(primary=settings.champion)
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._work, name="drift-worker", daemon=True)
        self._pace = pace
        self._next = clock() + pace

    # --- called by the HTTP server -----------------------------------------
    def submit(self, envelope: Envelope, body: bytes) -> bool:
        """Queue one payload; False if it was dropped. Never waits. One that came before is not counted again."""
        if envelope.event and envelope.event in self._recent:
            self.count(envelope.predictor, "repeated")
            return True
        taken = self._mailbox.put(Letter(envelope, body))
        if taken and envelope.event:
            self._recent.add(envelope.event)
        if not taken and envelope.kind != COUNTS_TYPE:  # counts are sent again
            self.count(envelope.predictor, "dropped")
        return taken

    def count(self, predictor: str, outcome: str) -> None:
        """Count a payload by what became of it."""
        with self._lock:
            self._state.payloads[self._roster.mention(predictor, self._clock()), outcome] += 1

    def snapshot(self) -> State:
        """A copy of the state that the worker no longer touches."""
        with self._lock:
            return self._state.copy()

    def start(self) -> None:
        """Start the worker."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Take nothing more in, work off what is queued, end the worker, and keep what was counted."""
        self._mailbox.close()
        if self._thread.is_alive():
            self._thread.join(timeout)
        if not self._thread.is_alive():
            self._end()
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
            self.close_due()

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

    def close_due(self) -> None:
        """``close`` when it is time: for every predictor at once, so that they compare."""
        now = self._clock()
        if now < self._next:
            # A clock that was put back by hours would hold the next look up for as long.
            self._next = min(self._next, now + self._pace)
            return
        # Never two looks closer than the plan says, even if this thread was late.
        self._next = now + self._pace
        self.close(now)
        self._forget_silent(now)

    @abstractmethod
    def close(self, now: float) -> None:
        """Do with the open looks what is due at ``now``, Unix seconds."""

    @abstractmethod
    def _end(self) -> None:
        """What remains to be done with them when the program ends."""

    def _take_other(self, predictor: str, letter: Letter, now: float) -> str:
        """What becomes of an event that is neither a request nor an answer."""
        return "ignored"

    def _numbers(self) -> Mapping[str, int]:
        """The last number of each replica whose counts were taken in."""
        return {}

    def _take_in(self, predictor: str, letter: Letter) -> str:
        now = self._clock()
        if letter.envelope.kind == REQUEST_TYPE:
            batch = self.measure.reader.read(read_rows(letter.body))
            lane = self._lane(predictor, now)
            lane.add(batch, now)
            self._state.filling[predictor] = lane.open
            return "accepted"
        if letter.envelope.kind == RESPONSE_TYPE:
            answers = read_answers(letter.body)
            scores = [p for p in answers.probabilities if math.isfinite(p)]
            # A canary is another model: its scores are no drift of this one's.
            digest = answers.digest or self.settings.digest
            own = digest == self.measure.digest
            self._lane(predictor, now).add_scores(scores, digest, now, own=own)
            return "accepted" if own else "other_model"
        return self._take_other(predictor, letter, now)

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
            self.measure.threshold,
            now,
            primary=predictor == self._state.primary,
            watch=Watch(self._panel) if self._panel else None,
        )

    # --- which predictors, and what is kept of them -------------------------
    def _known(self, predictor: str) -> str:
        """The name under which a predictor is watched; the longest silent one makes room if it must."""
        with self._lock:
            known, gone = self._roster.hear(predictor, self._clock(), self._state.primary)
            if gone is not None:
                self._forget(gone)
        return known

    def _forget_silent(self, now: float) -> None:
        """What was found of a predictor that is gone would otherwise stand, and alert, for ever."""
        with self._lock:
            for predictor in self._roster.part_with(now, self._state.primary):
                self._forget(predictor)
            if UNLISTED in self._lanes and self._roster.silent(UNLISTED, now):
                self._forget(UNLISTED)

    def _forget(self, predictor: str) -> None:
        log.info("%s has long been silent: it is no longer watched", predictor)
        self._lanes.pop(predictor, None)
        self._state.forget(predictor)
        try:
            self._store.forget(predictor)
        except OSError as error:
            log.warning("the state of %s could not be removed: %s", predictor, error)

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
                    self.measure.digest,
                    evaluation.time if evaluation else 0.0,
                    self._state.rows[predictor],
                    self._clock(),
                    self._numbers(),
                ),
            )
        except (SerinusError, OSError) as error:
            # Watching goes on; a restart would start anew, which the metric tells.
            log.warning("the state of %s could not be kept: %s", predictor, error)
            with self._lock:
                self._state.unsaved += 1
