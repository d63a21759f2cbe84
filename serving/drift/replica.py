"""A replica that only counts, and forwards its counts to the monitor that judges."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from serving.drift.forward import Counts, Relay
from serving.drift.intake import Intake
from serving.drift.lane import Comparisons
from serving.drift.mailbox import Mailbox
from serving.drift.measure import Measure
from serving.drift.policy import Policy
from serving.drift.report import Settings
from serving.drift.state import Store, read, thaw

log = logging.getLogger("serinus.drift")

FORWARDS_A_LOOK = 5


class Replica(Intake):
    """Takes payloads in without waiting, and hands on what it counted.

    It counts by the measure of the monitor, as far as that was asked, else by that of its own bundle: where the two are
    the same the first counts need not wait for an answer, and where they are not the monitor refuses them.
    """

    def __init__(
        self,
        settings: Settings,
        measure: Measure,
        policy: Policy,
        relay: Relay,
        *,
        mailbox: Mailbox | None = None,
        store: Store | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # More often than looks are closed, so that the counts of one hour meet in one look.
        pace = policy.look / FORWARDS_A_LOOK
        super().__init__(settings, measure, policy, pace=pace, mailbox=mailbox, store=store, clock=clock)
        self.relay = relay
        self._number = 0
        self._turn()
        self._restore()

    def close(self, now: float) -> None:
        """Hand on what was counted since the last message that was taken; what cannot go now stays counted."""
        self._turn()
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
                    digest=self.measure.digest,
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

    def _end(self) -> None:
        self.close(self._clock())

    def _turn(self) -> None:
        told = self.relay.measure()
        if told is not None:
            self.count_by(told)

    def count_by(self, measure: Measure) -> None:
        """Count by the measure of the monitor that judges. What was counted by another is lost: it refuses that."""
        if measure.same(self.measure):
            return
        log.info(
            "counting by bundle %s, as the monitor does, no longer by %s",
            measure.digest[:19], self.measure.digest[:19],
        )  # fmt: skip
        self.measure = measure
        self.comparisons = Comparisons(measure.baseline, self.policy)
        self._lanes.clear()
        with self._lock:
            self._state.filling.clear()

    def _restore(self) -> None:
        for predictor, data in self._store.load().items():
            saved = read(data, self.measure.digest)
            self._store.forget(predictor)  # or a kill would bring it back
            if saved is not None and saved.predictor == predictor:
                thaw(self._lane(predictor, self._clock()), saved)
                self._roster.go_on(predictor, self._clock())
