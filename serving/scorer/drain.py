"""The end of a scorer: told by a signal, it answers what is at hand and lets go."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

from serving.scorer.app import App
from serving.scorer.listener import Listener

if TYPE_CHECKING:
    from serving.scorer.grpc.server import GrpcServer

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Drain:
    """SIGTERM or SIGINT begin it; a second one does not wait any longer.

    Args:
        delay: seconds in which everything is still answered while readiness is false already,
            so that whoever balances the load can see it.
        grace: seconds in which kept-alive connections are answered, each closed with its answer.
        timeout: seconds for answers under way after that.
    """

    def __init__(
        self,
        app: App,
        listener: Listener,
        rpc: GrpcServer | None,
        *,
        delay: float,
        grace: float,
        timeout: float,
    ) -> None:
        self._app = app
        self._listener = listener
        self._rpc = rpc
        self._delay, self._grace, self._timeout = delay, grace, timeout
        self._told = asyncio.Event()
        self._hurry = asyncio.Event()

    async def wait(self) -> None:
        """Return once a signal came and all is answered; further signals are ignored from then on."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._signalled)
        try:
            await self._told.wait()
            draining = asyncio.create_task(self._drain())
            hurried = asyncio.create_task(self._hurry.wait())
            await asyncio.wait((draining, hurried), return_when=asyncio.FIRST_COMPLETED)
            for task in (draining, hurried):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            self._listener.abort()
            if self._hurry.is_set() and self._rpc is not None:
                await self._rpc.stop(0, 0)
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
                # The log is being flushed: that is bounded, and not to be cut short.
                signal.signal(number, signal.SIG_IGN)

    def _signalled(self) -> None:
        (self._hurry if self._told.is_set() else self._told).set()

    async def _drain(self) -> None:
        self._app.draining = True
        if self._rpc is not None:
            self._rpc.draining()
        await asyncio.sleep(self._delay)
        rpc = (
            asyncio.create_task(self._rpc.stop(self._grace, self._timeout)) if self._rpc is not None else None
        )
        await self._listener.drain(self._grace, self._timeout)
        if rpc is not None:
            await rpc
