"""While the platform is up, MLflow is told of every turn of a version: by a short process of its own.

The client takes seconds and a hundred megabytes to load, which the platform does without.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Mapping

from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry
from serinus.registry.telling import pending, tracking_uri

log = logging.getLogger("serinus.platform")


class CatalogueKeeper:
    """Looks now and then whether something is to be told, and has it told.

    Args:
        home: whose registry.
        env: of the process that tells.
        every: seconds between two looks; after a failure twice as long each time, up to ``longest``.
    """

    def __init__(
        self, home: Home, env: Mapping[str, str], every: float = 15.0, longest: float = 600.0
    ) -> None:
        self._home = home
        self._env = env
        self._every = every
        self._longest = longest
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, where ``$MLFLOW_TRACKING_URI`` is set."""
        if tracking_uri():
            self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End, the process that tells too; what it had not told is told the next time."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _keep(self) -> None:
        registry, pause = Registry(self._home), self._every
        while True:
            try:
                told = not await asyncio.to_thread(pending, registry, tracking_uri()) or await self._tell()
            except SerinusError as error:
                log.error("%s", error)
                told = False
            pause = self._every if told else min(2 * pause, self._longest)
            await asyncio.sleep(pause)

    async def _tell(self) -> bool:
        command = (sys.executable, "-m", "serinus.cli", "registry", "sync", "--home", str(self._home.root))
        child = await asyncio.create_subprocess_exec(
            *command, env=dict(self._env), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            _, said = await child.communicate()
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        if child.returncode:
            log.warning("%s", said.decode(errors="replace").strip()[-500:] or "MLflow was not told")
        return child.returncode == 0
