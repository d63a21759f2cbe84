"""While a program of ours is up, others are told what the registry holds: MLflow of every version, a lineage backend of
every stage. A short process of its own tells, since the clients take seconds and a hundred megabytes to load, which
the program does without; what could not be told is told the next time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from serinus.errors import SerinusError
from serinus.home import Home
from serinus.lineage import journal
from serinus.lineage.backend import configured
from serinus.lineage.outbox import kept
from serinus.lineage.stages import record_stages
from serinus.registry import Registry
from serinus.registry.telling import pending, tracking_uri

log = logging.getLogger(__name__)


class Keeper:
    """Looks now and then whether something is to be told, and has it told.

    Args:
        home: whose registry.
        command: of ``serinus`` that tells, without ``--home``.
        wanted: whether anybody asked for it.
        due: how much there is to tell. May raise SerinusError, which is logged.
        env: of the process that tells.
        every: seconds between two looks; after a failure twice as long each time, up to ``longest``.
    """

    def __init__(
        self,
        home: Path,
        command: tuple[str, ...],
        *,
        wanted: Callable[[], bool],
        due: Callable[[], int],
        env: Mapping[str, str],
        every: float = 15.0,
        longest: float = 600.0,
    ) -> None:
        self._home = home
        self._command = command
        self._wanted = wanted
        self._due = due
        self._env = env
        self._every = every
        self._longest = longest
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, where it is wanted."""
        if self._wanted():
            self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End, the process that tells too; what it had not told is told the next time."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _keep(self) -> None:
        pause = self._every
        while True:
            try:
                told = not await asyncio.to_thread(self._due) or await self._tell()
            except (SerinusError, OSError, sqlite3.Error) as error:
                log.error(
                    "%s", error
                )  # a full disk, a damaged file: tried again, or nobody would be told any more
                told = False
            pause = self._every if told else min(2 * pause, self._longest)
            await asyncio.sleep(pause)

    async def _tell(self) -> bool:
        command = (sys.executable, "-m", "serinus.cli", *self._command, "--home", str(self._home))
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
            log.warning(
                "%s", said.decode(errors="replace").strip()[-500:] or f"{' '.join(self._command)} failed"
            )
        return child.returncode == 0


def catalogue_keeper(
    home: Home, env: Mapping[str, str], every: float = 15.0, longest: float = 600.0
) -> Keeper:
    """Keeps MLflow told, where ``$MLFLOW_TRACKING_URI`` is set."""
    registry = Registry(home)
    return Keeper(
        home.root,
        ("registry", "sync"),
        wanted=lambda: bool(tracking_uri()),
        due=lambda: pending(registry, tracking_uri()),
        env=env,
        every=every,
        longest=longest,
    )


def lineage_keeper(home: Home, env: Mapping[str, str], every: float = 15.0, longest: float = 600.0) -> Keeper:
    """Keeps a lineage backend told of the stages that versions enter, where OpenLineage's client is configured."""

    def due() -> int:
        record_stages(home)
        return sum(kept(path) for path in journal.files(home.lineage))

    return Keeper(
        home.root,
        ("lineage", "send"),
        wanted=lambda: bool(configured(env)),
        due=due,
        env=env,
        every=every,
        longest=longest,
    )
