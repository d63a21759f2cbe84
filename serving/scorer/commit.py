"""Group commit: one write and one sync for all who wait, while the next group gathers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from serinus.errors import SerinusError


class GroupCommit[T]:
    """Hands items to a blocking ``write``, one group at a time, in order.

    A group is everything that came while the last one was being written, so
    under load many share one sync and alone nobody waits for company.

    Args:
        write: stores a group durably, all or none; called in ``thread``.
        thread: an executor of one thread.
        most: items in one group.
        done: told of each group's size and its error, on the loop, before those who wait.
    """

    def __init__(
        self,
        write: Callable[[list[T]], None],
        thread: Executor,
        *,
        most: int = 1024,
        done: Callable[[int, SerinusError | None], None] = lambda count, error: None,
    ) -> None:
        self._write = write
        self._thread = thread
        self._most = most
        self._done = done
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._writing = False

    def add(self, item: T) -> asyncio.Future[None]:
        """Put an item into the next group; on the loop's thread.

        Returns:
            A future that completes when it is stored, or fails with the
            SerinusError that kept its group from it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((item, future))
        if not self._writing:
            self._writing = True
            loop.call_soon(self._begin, loop)
        return future

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        written = loop.run_in_executor(self._thread, self._write, [item for item, _ in group])
        written.add_done_callback(lambda done: self._finish(loop, group, done))

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        group: list[tuple[T, asyncio.Future[None]]],
        written: asyncio.Future[None],
    ) -> None:
        error = error_of(written)
        self._done(len(group), error)
        for _, future in group:
            if future.done():  # whoever waited has gone
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        if self._waiting:
            self._begin(loop)
        else:
            self._writing = False


def error_of(written: asyncio.Future[None]) -> SerinusError | None:
    """What went wrong with a write, as an error to report."""
    if written.cancelled():
        return unwritten("the process is ending")
    error = written.exception()
    return error if error is None or isinstance(error, SerinusError) else unwritten(str(error))


def unwritten(why: str) -> SerinusError:
    """``SRN-SCORER-003``."""
    return SerinusError(
        "SRN-SCORER-003",
        f"the decision log cannot be written ({why})",
        hint="Mend the cause; nothing is answered that is not recorded.",
    )
