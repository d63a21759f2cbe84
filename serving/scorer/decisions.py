"""The decision log's way from the answer to the disk.

``relaxed``: an answer never waits. Every ``interval`` what has gathered is handed
to the operating system, from where a killed process cannot take it, and then
synced to the disk, while the next writes go on. What is pending is bounded:
when the disk fails or falls behind so far that ``limit`` decisions wait,
scoring stops (503).

``strict``: an answer leaves when its decision is on the disk. One sync serves
all who wait. When it fails they get 503, and so does everybody until the disk
takes writes again.

Encoding and hashing is work for the interpreter, which one thread at a time
can do: in a thread beside the loop it would hold up requests for as long as
the interpreter lets it (5 ms). So it is done on the loop, in slices between
requests, and only the write and the sync, which need no interpreter, leave it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from serinus.chain import Linker
from serinus.errors import SerinusError
from serinus.events import DecisionEncoder
from serinus.model import Answer
from serinus.model.answers import Answers
from serving.scorer.commit import GroupCommit, error_of, unwritten
from serving.scorer.identity import Identity
from serving.scorer.sinks import DecisionSink

Floats = NDArray[np.float64]
Durability = Literal["strict", "relaxed"]
SLICE = 32
"""Rows encoded at a stretch: some 200 microseconds, which a request can wait."""

Rows = Floats | Sequence[Floats]
"""Vectors of shape (n, F), or n of shape (F,)."""
# Request id, time, all rows and answers of the request, and which of them are meant.
_Item = tuple[str, float, Rows, Sequence[Answer] | Answers, int, int]


class Recorder:
    """Takes decisions from the request path and sees them stored.

    ``record`` and ``run`` belong to the loop's thread.

    Args:
        sink: where they are stored.
        identity: the names they carry.
        now: seconds since the epoch.
        durability: see above.
        interval: seconds between writes (relaxed), and between tries while the sink fails.
        limit: decisions that may wait before scoring stops; batches may fill half of it.
        report: told of each failed write, once per failure.
    """

    def __init__(
        self,
        sink: DecisionSink,
        identity: Identity,
        *,
        now: Callable[[], float],
        durability: Durability = "relaxed",
        interval: float = 0.05,
        limit: int = 40_000,
        report: Callable[[SerinusError], None] = lambda error: None,
    ) -> None:
        self._sink = sink
        self._now = now
        self._interval = interval
        self._limit = limit
        self._report = report
        self._encode = DecisionEncoder(
            model=identity.model,
            version=identity.version,
            digest=identity.digest,
            predictor=identity.predictor,
        )
        self._waiting: deque[_Item] = deque()
        # Chained, not yet safe: lines, with the number and hash of the last.
        self._linked: list[tuple[list[bytes], int, str]] = []
        self._linker = Linker(sink.seq, sink.head)
        self._taken = self._settled = 0
        self._writing = threading.Lock()
        self._settling = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decision-log")
        self._sync_thread = ThreadPoolExecutor(1, thread_name_prefix="decision-sync")
        self._syncing: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sliced = False
        self._failing = False
        self._commit: GroupCommit[_Item] | None = None
        if durability == "strict":
            self._commit = GroupCommit(self._store, self._thread, done=self._committed)

    @property
    def pending(self) -> int:
        """Decisions taken but not yet stored."""
        return self._taken - self._settled

    @property
    def full(self) -> bool:
        """Whether scoring must stop until the log takes decisions again."""
        if self._failing and self._commit is not None:
            return True
        return self._taken - self._settled >= self._limit

    @property
    def largest(self) -> int:
        """The largest batch that can ever be taken: single rows must not suffer for one."""
        return max(1, self._limit // 2)

    def room(self, rows: int) -> bool:
        """Whether a batch of so many rows can be taken now."""
        return self._taken - self._settled + rows <= self.largest

    def record(
        self, request_id: str, rows: Rows, answers: Sequence[Answer] | Answers
    ) -> asyncio.Future[None] | None:
        """Note what was decided on the rows of one request.

        Args:
            rows: encoded vectors. They are kept, not copied: nobody may change them.
            answers: n answers.

        Returns:
            None under ``relaxed``. Under ``strict`` a future that completes when the
            decisions are stored, or fails with SerinusError: no answer may leave then.
        """
        count = len(answers)
        self._taken += count
        item = (request_id, self._now(), rows, answers, 0, count)
        if self._commit is not None:
            return self._commit.add(item)
        if count <= SLICE:
            self._waiting.append(item)
        else:
            self._waiting.extend((*item[:4], i, min(i + SLICE, count)) for i in range(0, count, SLICE))
        if not self._sliced and self._loop is not None and len(self._waiting) >= SLICE:
            self._sliced = True
            self._loop.call_soon(self._slice)
        return None

    async def run(self) -> None:
        """Write every ``interval`` seconds until cancelled; a failure is reported and tried again."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(self._interval)
                try:
                    if self._commit is None:
                        await self._write_behind(self._loop)
                    elif self._failing:
                        await self._loop.run_in_executor(self._thread, self._sink.probe)
                        self._failing = False
                except SerinusError as error:
                    self._failed(error)
                except Exception as error:
                    self._failed(unwritten(f"an unforeseen {type(error).__name__}: {error}"))
        finally:
            self._loop = None

    async def _write_behind(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            self._link()
            await asyncio.sleep(0)
        if self._linked:
            await loop.run_in_executor(self._thread, self._write_linked)
            if self._syncing is None:
                self._syncing = loop.run_in_executor(self._sync_thread, self._sync)
                self._syncing.add_done_callback(self._synced)

    def write(self) -> int:
        """Store what waits, at the end; returns how many. ``run`` must have been cancelled.

        Raises:
            SerinusError: it cannot; ``pending`` says how many are lost with the process.
        """
        with self._writing:
            pass  # whatever was being written when ``run`` was cancelled
        before = self._settled
        while self._waiting:
            self._link()
        self._write_linked()
        self._sync()
        return self._settled - before

    # --- relaxed -----------------------------------------------------------

    def _slice(self) -> None:
        self._link()
        if len(self._waiting) >= SLICE and self._loop is not None:
            self._loop.call_soon(self._slice)
        else:
            self._sliced = False

    def _link(self) -> None:
        """Encode and chain one slice. The chain may run ahead of the sink: a failed write is repeated."""
        waiting, items, rows = self._waiting, list[_Item](), 0
        while waiting and rows < SLICE:
            item = waiting.popleft()
            rows += item[5] - item[4]
            items.append(item)
        if items:
            lines = self._linker.link(self._bodies(items))
            self._linked.append((lines, self._linker.seq, self._linker.head))

    def _write_linked(self) -> None:
        """Hand lines to the operating system: from there a killed process cannot take them."""
        with self._writing:
            stands = self._sink.seq
            ready = [part for part in self._linked[:] if part[1] > stands]
            seq, head = ready[-1][1:] if ready else (stands, self._sink.head)
            # With no lines too: that is how a sync that failed meanwhile is learned of.
            self._sink.write([line for part in ready for line in part[0]], seq, head, durable=False)

    def _sync(self) -> None:
        """Bring them to the disk. Only then are they let go of: a failed sync has them written again."""
        with self._settling:
            self._sink.sync()
            while self._linked and self._linked[0][1] <= self._sink.safe:
                lines, _, _ = self._linked.pop(0)
                self._settled += len(lines)

    def _synced(self, done: asyncio.Future[None]) -> None:
        self._syncing = None
        error = error_of(done)
        if error is None:
            self._failing = False
        else:
            self._failed(error)

    # --- strict ------------------------------------------------------------

    def _store(self, items: list[_Item]) -> None:
        """One group, in the thread. What fails is dropped: its answers do not leave."""
        with self._writing:
            linker = Linker(self._sink.seq, self._sink.head)
            lines = linker.link(self._bodies(items))
            try:
                self._sink.write(lines, linker.seq, linker.head)
            finally:
                self._settled += len(lines)

    def _committed(self, count: int, error: SerinusError | None) -> None:
        if error is None:
            self._failing = False
        else:
            self._failed(error)

    # -----------------------------------------------------------------------

    def _failed(self, error: SerinusError) -> None:
        if not self._failing:
            self._report(error)
        self._failing = True

    def _bodies(self, items: Sequence[_Item]) -> list[bytes]:
        encode = self._encode
        bodies: list[bytes] = []
        for request_id, at, rows, answers, start, stop in items:
            if len(answers) == 1:
                a = answers[0]
                vector = rows[0].tolist()
                bodies.append(encode(request_id, at, a.score, a.probability, a.decision, a.reasons, vector))
                continue
            vectors = [row.tolist() for row in rows[start:stop]]
            columns = zip(*_columns(answers, start, stop), vectors, strict=True)
            for i, cell in enumerate(columns, start):
                bodies.append(encode(f"{request_id}.{i}", at, *cell))
        return bodies


def _columns(answers: Sequence[Answer] | Answers, start: int, stop: int) -> tuple[Sequence[Any], ...]:
    """Score, probability, decision and reasons of some of a request's answers."""
    if isinstance(answers, Sequence):
        part = answers[start:stop]
        return (
            [a.score for a in part],
            [a.probability for a in part],
            [a.decision for a in part],
            [a.reasons for a in part],
        )
    return (
        answers.score[start:stop].tolist(),
        answers.probability[start:stop].tolist(),
        answers.decision[start:stop],
        answers.reasons[start:stop],
    )


class NoRecorder(Recorder):
    """Records nothing: for measuring what recording costs."""

    def __init__(self) -> None:
        self._taken = self._settled = 0
        self._failing, self._limit, self._commit = False, 1 << 62, None

    def record(self, request_id: str, rows: Rows, answers: Sequence[Answer] | Answers) -> None:
        """Forget it."""

    async def run(self) -> None:
        """Wait to be cancelled."""
        await asyncio.Event().wait()

    def write(self) -> int:
        """Nothing waits."""
        return 0
