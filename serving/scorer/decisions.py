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
the interpreter lets it. So it is done on the loop, a single row's in its request
while its numbers are at hand, a batch's in slices between requests, and only
the write and the sync, which need no interpreter, leave it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from serinus.errors import SerinusError
from serinus.events import Seal
from serinus.lines import Chained, DecisionLines, Rows, Taken
from serinus.model import Answer
from serinus.model.answers import Answers
from serving.scorer.commit import GroupCommit, error_of, unwritten
from serving.scorer.identity import Identity
from serving.scorer.sinks import DecisionSink

Durability = Literal["strict", "relaxed"]
SLICE = 64
"""Rows encoded at a stretch: some 200 microseconds, which a request can wait."""
AT_ONCE = 8
"""Rows of a request that are encoded within it."""


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
        before: called in the writing thread before lines are stored: keeps the keys that seal them. Where it
            is given, every decision comes with its keys.
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
        before: Callable[[], None] | None = None,
    ) -> None:
        self._sink = sink
        self._before = before
        self._now = now
        self._interval = interval
        self._limit = limit
        self._report = report
        self._lines = DecisionLines(
            model=identity.model,
            version=identity.version,
            digest=identity.digest,
            predictor=identity.predictor,
            sealed=before is not None,
            seq=sink.seq,
            head=sink.head,
        )
        self._waiting: deque[Taken] = deque()
        self._linked: list[Chained] = []  # not yet safe
        self._taken = self._settled = 0
        self._writing = threading.Lock()
        self._settling = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decision-log")
        self._sync_thread = ThreadPoolExecutor(1, thread_name_prefix="decision-sync")
        self._syncing: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sliced = False
        self._failing = False
        self._commit: GroupCommit[Taken] | None = None
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
        self,
        request_id: str,
        rows: Rows,
        answers: Sequence[Answer] | Answers,
        keys: tuple[Seal, ...] | None = None,
    ) -> asyncio.Future[None] | None:
        """Note what was decided on the rows of one request.

        Args:
            rows: encoded vectors. They are kept, not copied: nobody may change them.
            answers: n answers.
            keys: who seals each of them.

        Returns:
            None under ``relaxed``. Under ``strict`` a future that completes when the
            decisions are stored, or fails with SerinusError: no answer may leave then.
        """
        count = len(answers)
        if self._commit is not None:
            self._taken += count
            return self._commit.add((request_id, self._now(), rows, answers, 0, count, keys))
        if count <= AT_ONCE and not self._waiting:
            self._lines.add(request_id, self._now(), rows, answers, 0, count, keys)
            self._taken += count
            return None
        self._taken += count
        item = (request_id, self._now(), rows, answers)
        self._waiting.extend((*item, i, min(i + SLICE, count), keys) for i in range(0, count, SLICE))
        if not self._sliced and self._loop is not None:
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
        self._take()
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
        self._take()
        self._write_linked()
        self._sync()
        return self._settled - before

    # --- relaxed -----------------------------------------------------------

    def _slice(self) -> None:
        self._link()
        if self._waiting and self._loop is not None:
            self._loop.call_soon(self._slice)
        else:
            self._sliced = False

    def _link(self) -> None:
        """Encode and chain one slice. The chain may run ahead of the sink: a failed write is repeated."""
        if self._waiting:
            self._lines.add(*self._waiting.popleft())

    def _take(self) -> None:
        chained = self._lines.take()
        if chained.blocks:
            self._linked.append(chained)

    def _write_linked(self) -> None:
        """Hand lines to the operating system: from there a killed process cannot take them."""
        with self._writing:
            stands = self._sink.seq
            ready = [part for part in self._linked[:] if part.seq > stands]
            # With no lines too: that is how a sync that failed meanwhile is learned of.
            first, last = (
                (ready[0], ready[-1]) if ready else (Chained([], stands, stands, self._sink.head),) * 2
            )
            blocks = [block for part in ready for block in part.blocks]
            if self._before is not None:
                self._before()
            self._sink.write(blocks, last.seq, last.head, after=first.after, durable=False)

    def _sync(self) -> None:
        """Bring them to the disk. Only then are they let go of: a failed sync has them written again."""
        with self._settling:
            self._sink.sync()
            while self._linked and self._linked[0].seq <= self._sink.safe:
                part = self._linked.pop(0)
                self._settled += part.seq - part.after

    def _synced(self, done: asyncio.Future[None]) -> None:
        self._syncing = None
        error = error_of(done)
        if error is None:
            self._failing = False
        else:
            self._failed(error)

    # --- strict ------------------------------------------------------------

    def _store(self, items: list[Taken]) -> None:
        """One group, in the thread. What fails is dropped: its answers do not leave."""
        with self._writing:
            self._lines.begin(self._sink.seq, self._sink.head)
            try:
                for item in items:
                    self._lines.add(*item)
                chained = self._lines.take()
                if self._before is not None:
                    self._before()
                self._sink.write(chained.blocks, chained.seq, chained.head, after=chained.after)
            finally:
                self._settled += sum(item[5] - item[4] for item in items)

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


class NoRecorder(Recorder):
    """Records nothing: for measuring what recording costs."""

    def __init__(self) -> None:
        self._taken = self._settled = 0
        self._failing, self._limit, self._commit = False, 1 << 62, None

    def record(
        self,
        request_id: str,
        rows: Rows,
        answers: Sequence[Answer] | Answers,
        keys: tuple[Seal, ...] | None = None,
    ) -> None:
        """Forget it."""

    async def run(self) -> None:
        """Wait to be cancelled."""
        await asyncio.Event().wait()

    def write(self) -> int:
        """Nothing waits."""
        return 0
