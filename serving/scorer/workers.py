"""Threads for large batches, so that single rows do not wait behind them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from serving.scorer.refusal import Refusal

_SMOOTHING = 0.2


class Workers:
    """A few threads with a short queue before them.

    How long a batch will wait is predicted from the bytes before it and what
    bytes have cost lately; one that could not be answered in time is refused
    at once, while its sender can still ask elsewhere.

    Args:
        threads: how many batches are worked on at once.
        queue: batches that may wait beyond those.
        from_bytes: a body of this size or more is a batch.
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        queue: int = 16,
        from_bytes: int = 16 << 10,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.from_bytes = from_bytes
        self.queued = 0
        self._threads = threads
        self._limit = threads + queue
        self._clock = clock
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="batch")
        self._bytes = 0
        self._seconds_per_byte = 0.0

    def predicted(self, size: int) -> float:
        """Seconds until a body of that size would be answered."""
        return (self._bytes / self._threads + size) * self._seconds_per_byte

    async def run[T](self, work: Callable[[], T], size: int, left: float | None) -> T:
        """Do it in a thread.

        Raises:
            Refusal: 503 if ``left`` seconds would not suffice, 429 if too many wait; and what ``work`` raises.
        """
        wait = self.predicted(size)
        if left is not None and wait > left:
            message = f"the answer would take {wait:.2g} s; the request allows {left:.2g} s"
            raise Refusal(503, "", message, shed="deadline")
        if self.queued >= self._limit:
            seconds = max(1, round(wait))
            raise Refusal(
                429, "", "too many batches wait; try again later", retry_after=seconds, shed="queue"
            )
        self.queued += 1
        self._bytes += size

        def timed() -> T:
            started = self._clock()
            try:
                return work()
            finally:
                self._learn(size, self._clock() - started)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, timed)
        finally:
            self.queued -= 1
            self._bytes -= size

    def _learn(self, size: int, seconds: float) -> None:
        rate = seconds / max(size, 1)
        old = self._seconds_per_byte
        self._seconds_per_byte = rate if old == 0.0 else old + _SMOOTHING * (rate - old)

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
