"""The decision log, written in batches behind the answers.

An answer never waits for the disk. What is pending is bounded: when the disk
fails or falls behind so far that ``limit`` decisions wait, scoring stops
(503), because a decision that cannot be recorded must not be given.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serinus.errors import SerinusError
from serinus.events import Decision, DecisionEvent
from serinus.model import Answer
from serving.scorer.identity import Identity

Floats = NDArray[np.float64]
_BATCH = 1000


class DecisionSink(Protocol):
    """Where decisions are kept (``serinus.events.DecisionLog``)."""

    def append(self, events: Sequence[DecisionEvent], *, durable: bool = True) -> None:
        """Write all or none. Raises SerinusError if it cannot."""
        ...


class MemorySink:
    """A sink for tests and for serving without a log; keeps what it is given if ``keep``."""

    def __init__(self, *, keep: bool = True) -> None:
        self.events: list[DecisionEvent] = []
        self._keep = keep

    def append(self, events: Sequence[DecisionEvent], *, durable: bool = True) -> None:
        """Keep the events."""
        if self._keep:
            self.events.extend(events)


class Recorder:
    """Takes decisions from the request path and writes them from a task.

    Args:
        sink: where they are written.
        identity: the names they carry.
        now: seconds since the epoch.
        interval: seconds between batches; what a power cut can lose.
        limit: decisions that may wait before scoring stops.
        report: told of each failed write, once per failure.
    """

    def __init__(
        self,
        sink: DecisionSink,
        identity: Identity,
        *,
        now: Callable[[], float],
        interval: float = 0.05,
        limit: int = 20_000,
        report: Callable[[SerinusError], None] = lambda error: None,
    ) -> None:
        self._sink = sink
        self._identity = identity
        self._now = now
        self._interval = interval
        self._limit = limit
        self._report = report
        self._waiting: deque[tuple[str, float, Floats, Answer]] = deque()
        self._writing = threading.Lock()
        self._source = f"/models/{identity.model}/predictors/{identity.predictor}"
        self._failing = False

    @property
    def pending(self) -> int:
        """Decisions given but not yet written."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether scoring must stop until the log catches up."""
        return len(self._waiting) >= self._limit

    def record(self, request_id: str, rows: Floats, answers: Sequence[Answer]) -> None:
        """Note what was decided on the rows, shape (n, F), of one request. Any thread may call."""
        now = self._now()
        if len(answers) == 1:
            self._waiting.append((request_id, now, rows[0], answers[0]))
            return
        self._waiting.extend((f"{request_id}.{i}", now, rows[i], answer) for i, answer in enumerate(answers))

    def write(self) -> int:
        """Write what waits; returns how many. Raises SerinusError if it cannot; nothing is lost then."""
        written = 0
        with self._writing:
            while self._waiting:
                count = min(_BATCH, len(self._waiting))
                batch = [self._event(*self._waiting[i]) for i in range(count)]
                try:
                    self._sink.append(batch, durable=True)
                except OSError as error:
                    raise _unwritten(error) from error
                # Only now: a failed write leaves them waiting for the next one.
                for _ in range(count):
                    self._waiting.popleft()
                written += count
        return written

    async def run(self) -> None:
        """Write every ``interval`` seconds until cancelled; a failure is reported and tried again."""
        while True:
            await asyncio.sleep(self._interval)
            if not self._waiting:
                continue
            try:
                await asyncio.to_thread(self.write)
                self._failing = False
            except SerinusError as error:
                if not self._failing:
                    self._report(error)
                self._failing = True

    def _event(self, event_id: str, at: float, row: Floats, answer: Answer) -> DecisionEvent:
        identity = self._identity
        return DecisionEvent(
            id=event_id,
            source=self._source,
            time=datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            data=Decision(
                model=identity.model,
                version=identity.version,
                digest=identity.digest,
                predictor=identity.predictor,
                score=answer.score,
                probability=answer.probability,
                decision=answer.decision,
                reasons=answer.reasons,
                features=tuple(None if value != value else value for value in row.tolist()),
            ),
        )


def _unwritten(error: OSError) -> SerinusError:
    return SerinusError(
        "SRN-SCORER-003",
        f"the decision log cannot be written ({error.strerror})",
        hint="Mend the disk; decisions wait in memory meanwhile, and scoring stops when too many do.",
    )
