"""The programs beside the scorers (drift monitor, retraining receiver): started, watched, restarted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

from serinus.errors import SerinusError

from .child import Child

log = logging.getLogger("serinus.platform")

BACKOFF = (0.5, 1.0, 2.0, 5.0, 10.0)


def free_port() -> int:
    """A port that the kernel says is free now.

    Others must know a sidecar's address before it is up (a scorer's payload URL),
    so it cannot ask for port 0 itself. Should the port be taken meanwhile, the
    sidecar fails, says so, and is started again.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Sidecar:
    """One such program on a port of its own, for as long as the platform runs."""

    def __init__(self, name: str, logs: Path, mark: dict[str, str]) -> None:
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command: Sequence[str] = ()
        self.child: Child | None = None
        self.detail = ""
        self._up = asyncio.Event()
        self._log = logs / f"{name}.log"
        self._mark = mark
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Is it up?"""
        return self._up.is_set()

    async def start(self, command: Sequence[str]) -> None:
        """Start it, or start it anew with another command. Does not wait for it to be ready."""
        await self.stop()
        self.command = command
        self._task = asyncio.create_task(self._supervise())

    async def wait_ready(self, timeout: float) -> None:
        """Wait until it has said that it is ready.

        Raises:
            SerinusError: SRN-PLATFORM-005 if it does not in time.
        """
        try:
            await asyncio.wait_for(self._up.wait(), timeout)
        except TimeoutError:
            raise SerinusError(
                "SRN-PLATFORM-005",
                f"{self.name} was not ready within {timeout:g} s{f': {self.detail}' if self.detail else ''}",
                where=str(self._log),
                hint="The log says more.",
            ) from None

    async def stop(self) -> None:
        """Stop it for good."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self.child is not None:
            await self.child.stop()
            self.child = None
        self._up.clear()

    async def _supervise(self) -> None:
        for wait in (*BACKOFF, *(BACKOFF[-1] for _ in range(10_000))):
            try:
                self.child = await Child.start(self.name, self.command, log=self._log, mark=self._mark)
                await self.child.ready(120.0)
                self._up.set()
                await asyncio.wait({self.child.exited})
                self.detail = self.child.ending()
            except SerinusError as problem:
                self.detail = problem.what
            self._up.clear()
            log.warning("%s %s; restarting it in %.1f s", self.name, self.detail, wait)
            await asyncio.sleep(wait)
