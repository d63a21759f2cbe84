"""Listens to the API server, and hands what it says to the keeper, one thing at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from serinus.errors import SerinusError
from serinus.kube import follow
from serinus.kube.api import Api, Object
from serinus.kube.follow import Following
from serinus.kube.kinds import APPROVAL, COMMAND, ROLLOUT

from .keeper import SECOND, Keeper
from .seen import moment
from .words import WordKind

log = logging.getLogger("serinus.records")

AGAIN = 5.0  # seconds between two tries to record what could not be recorded


class Desk:
    """One thing at a time reaches the keeper; what cannot be recorded (a full disk) is tried until it can."""

    def __init__(self, keeper: Keeper, again: float = AGAIN) -> None:
        self.keeper = keeper
        self.failing = ""
        self.failures = 0
        self._again = again
        self._turn = asyncio.Lock()

    async def do(self, work: Callable[[], None]) -> None:
        """Have it recorded."""
        async with self._turn:
            while True:
                try:
                    await asyncio.to_thread(work)
                    self.failing = ""
                    return
                except SerinusError as problem:
                    if not self.failing:
                        log.error("not recorded, trying again: %s", problem)
                    self.failing = str(problem)
                    self.failures += 1
                except Exception as problem:  # whoever follows has it told again, by another listing
                    self.failing = f"{type(problem).__name__}: {problem}"
                    self.failures += 1
                    raise
                await asyncio.sleep(self._again)


class Rollouts(Following):
    """ModelRollouts of one namespace (None: of all)."""

    def __init__(self, api: Api, desk: Desk, namespace: str | None) -> None:
        super().__init__(api, ROLLOUT, namespace)
        self.namespace = namespace
        self._desk = desk

    async def _listed(self, items: list[Object]) -> None:
        def within(namespace: str) -> bool:
            return self.namespace in (None, namespace)

        await self._desk.do(lambda: self._desk.keeper.listed(items, within))

    async def _heard(self, what: str, found: Object) -> None:
        await self._desk.do(lambda: self._desk.keeper.heard(found, deleted=what == "DELETED"))


class Words(Following):
    """RolloutApprovals or RolloutCommands of one namespace (None: of all).

    Words and rollouts are told by two watches, and either may be behind: each word goes to the keeper with the rollouts
    that have its name by then. None is heard before the first listing of the rollouts.
    """

    def __init__(self, api: Api, desk: Desk, rollouts: Rollouts, kind: WordKind) -> None:
        super().__init__(api, APPROVAL if kind == APPROVAL.kind else COMMAND, rollouts.namespace)
        self._desk = desk
        self._rollouts = rollouts
        self._said: WordKind = kind

    async def _listed(self, items: list[Object]) -> None:
        # In the order in which they were said: of two words of one person the later one stands.
        for found in sorted(items, key=lambda item: str(item["metadata"]["creationTimestamp"])):
            await self._heard("ADDED", found)

    async def _heard(self, what: str, found: Object) -> None:
        metadata = found["metadata"]
        if self._desk.keeper.knows(metadata["uid"]):
            return
        await self._rollouts.synced.wait()
        # A rollout made from the next second on cannot be what the word was about: who commands or approves is
        # obeyed by the same stamps.
        left = moment(metadata["creationTimestamp"]) + SECOND - self._desk.keeper.now()
        if left > 0.0:
            await follow.pause(min(left, 2 * SECOND))
        about = str((found.get("spec") or {}).get("rollout") or "")
        named = await self._api.list(ROLLOUT, metadata["namespace"], fields=f"metadata.name={about}")
        await self._desk.do(lambda: self._desk.keeper.said(found, self._said, named["items"]))


class Follower:
    """All that is followed, in the namespaces given (none: in all)."""

    def __init__(self, api: Api, desk: Desk, namespaces: tuple[str, ...] = ()) -> None:
        self.desk = desk
        self._api = api
        self._watches: list[Following] = []
        for namespace in namespaces or (None,):
            rollouts = Rollouts(api, desk, namespace)
            self._watches += [
                rollouts,
                Words(api, desk, rollouts, "RolloutApproval"),
                Words(api, desk, rollouts, "RolloutCommand"),
            ]
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to follow; returns at once."""
        self._tasks = [asyncio.create_task(watch.run()) for watch in self._watches]

    async def stop(self) -> None:
        """Follow no more, and let go of the API server. What is being recorded is recorded."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._api.close()

    @property
    def ready(self) -> bool:
        """Everything was listed, and what was heard is recorded."""
        return all(watch.synced.is_set() for watch in self._watches) and not self.desk.failing

    @property
    def alive(self) -> bool:
        """Somebody still listens."""
        return not any(task.done() for task in self._tasks)

    def age(self) -> float:
        """Seconds since the most silent watch heard from the server; infinite before its first listing."""
        return max(time.monotonic() - watch.seen_at for watch in self._watches)
