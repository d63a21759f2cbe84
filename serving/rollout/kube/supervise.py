"""All ModelRollouts: one task each, begun when it is seen and ended with it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable

from msgspec.structs import replace

from serinus.errors import SerinusError
from serinus.kube.api import Api, Object

from ..exposition import RESULTS
from ..status import Phase, RolloutStatus
from .beginning import Turns
from .names import SELDON_ID
from .rollout import RolloutTask, Settings, finished
from .view import unpack
from .watch import World, trim

log = logging.getLogger(__name__)


class Supervisor:
    """Keeps one ``RolloutTask`` for each ModelRollout that has not ended."""

    def __init__(self, api: Api, world: World, settings: Settings) -> None:
        self._api = api
        self._world = world
        self._settings = settings
        self._turns = Turns()
        self._resources: dict[str, Object] = {}
        self._tasks: dict[str, tuple[RolloutTask, asyncio.Task[None]]] = {}
        self._read: dict[str, tuple[str, RolloutStatus | None]] = {}
        self._deleted: Counter[tuple[str, str]] = Counter()
        world.on_change(self._changed)

    def seen(self, what: str | None, resource: Object) -> None:
        """A ModelRollout was listed, changed, or is gone (``DELETED``)."""
        uid = resource["metadata"]["uid"]
        running = self._tasks.get(uid)
        trim(resource)
        if what == "DELETED":
            if self._resources.pop(uid, None) is not None:
                self._deleted.update(_results([resource]))
            self._read.pop(uid, None)
            if running is not None:
                running[0].gone = True
                running[0].update(resource)
            return
        self._resources[uid] = resource
        if running is not None:
            running[0].update(resource)
        elif not finished(resource):
            task = RolloutTask(self._api, self._world, resource, self._settings, turns=self._turns)
            self._tasks[uid] = task, asyncio.create_task(self._run(uid, task))

    async def stop(self) -> None:
        """Stop every task where it is; the status says where to go on."""
        tasks = [task for _, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, uid: str, task: RolloutTask) -> None:
        try:
            await task.run()
        finally:
            self._tasks.pop(uid, None)
            if task.gone:
                self.seen("DELETED", task.resource)  # in a gap of the watch nobody else says so

    def _changed(self, found: Object) -> None:
        """Wake the rollouts that the object is about, so that they look at once."""
        metadata = found["metadata"]
        labels = metadata.get("labels") or {}
        spec = found.get("spec") or {}
        about = {labels.get(SELDON_ID), spec.get("rollout"), metadata["name"]}
        for task, _ in self._tasks.values():
            if task.place[0] == metadata["namespace"] and about & {task.target, task.place[1]}:
                task.clock.changed.set()

    # --- metrics ----------------------------------------------------------------

    @property
    def active(self) -> int:
        """Rollouts that have not ended."""
        return len(self._tasks)

    def statuses(self) -> list[RolloutStatus]:
        """The latest rollout of each target, named by namespace."""
        latest: dict[tuple[str, str], RolloutStatus] = {}
        for resource in self._resources.values():
            status = self._status(resource)
            if status is None:
                continue
            namespace = resource["metadata"]["namespace"]
            known = latest.get((namespace, status.model))
            if known is None or status.started_at >= known.started_at:
                named = replace(status, id=f"{namespace}/{status.id}")
                latest[namespace, status.model] = named
        return list(latest.values())

    def ended(self) -> Counter[tuple[str, str]]:
        """(namespace/target, result) → rollouts that ended so, among those that were kept when this process began.

        One that is deleted still counts: a counter that falls looks like one that began anew, and its rest like news.
        """
        return self._deleted + _results(self._resources.values())

    def _status(self, resource: Object) -> RolloutStatus | None:
        running = self._tasks.get(resource["metadata"]["uid"])
        if running is not None and running[0].status is not None:
            return running[0].status
        engine = (resource.get("status") or {}).get("engine") or ""
        uid, known = resource["metadata"]["uid"], self._read.get(resource["metadata"]["uid"])
        if known is None or known[0] != engine:
            try:
                known = engine, unpack(engine) if engine else None
            except SerinusError:
                known = engine, None
            self._read[uid] = known
        return known[1]


def _results(resources: Iterable[Object]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for resource in resources:
        phase = (resource.get("status") or {}).get("phase")
        if phase and Phase(phase) in RESULTS:
            place = f"{resource['metadata']['namespace']}/{resource['spec']['target']}"
            found[place, RESULTS[Phase(phase)]] += 1
    return found
