"""What the cluster holds, kept up to date by watches: one listing, then changes only.

A rollout looks every few seconds; with this, looking costs the API server
nothing. Each kind is watched once for all rollouts, narrowed by a label on the
server's side where the kind has one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

from .api import Api, ApiError, Object, UnreachableError
from .hands import own_predictors
from .names import APPROVAL, COMMAND, DEPLOYMENT, POD, SELDON, SELDON_ID, SLICE, VIRTUAL_SERVICE, Kind

log = logging.getLogger(__name__)

SESSION = 240  # seconds until the server ends a watch, and it is begun anew where it ended
BACKOFF = (0.2, 10.0)
HEALTHY = 5.0  # seconds that a watch lasts where nothing is wrong

OWN_NAME = "metadata.name"
pause = asyncio.sleep

WATCHED: tuple[tuple[Kind, str, str], ...] = (
    # kind, label selector, label or spec field by which objects are looked up
    (DEPLOYMENT, SELDON_ID, SELDON_ID),
    (POD, SELDON_ID, SELDON_ID),
    (SLICE, SELDON_ID, SELDON_ID),
    (SELDON, "", OWN_NAME),
    (VIRTUAL_SERVICE, "", OWN_NAME),
    (APPROVAL, "", "rollout"),
    (COMMAND, "", "rollout"),
)


def trim(found: Object) -> Object:
    """Without what nobody reads and what is most of an object's size."""
    metadata = found.get("metadata", {})
    owners = own_predictors(found)
    metadata.pop("managedFields", None)
    if owners:
        metadata["managedFields"] = owners
    annotations = metadata.get("annotations")
    if annotations:
        for key in [k for k, v in annotations.items() if len(v) > 1000]:
            del annotations[key]
    return found


class Watch:
    """All objects of one kind in one namespace (or all), by namespace and owner."""

    def __init__(self, api: Api, kind: Kind, namespace: str | None, selector: str, key: str) -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        self.seen_at = float("-inf")  # monotonic; when the server last told us anything
        self.changed: Callable[[Object], None] = lambda found: None
        self._api = api
        self._namespace = namespace
        self._selector = selector
        self._key = key
        self._objects: dict[tuple[str, str], Object] = {}
        self._owned: dict[tuple[str, str], set[str]] = defaultdict(set)

    def of(self, namespace: str, owner: str) -> Iterator[Object]:
        """The objects that belong to one SeldonDeployment, or speak of one rollout."""
        for name in sorted(self._owned.get((namespace, owner), ())):
            yield self._objects[namespace, name]

    async def run(self) -> None:
        """Keep it up to date for ever. Lost connections and expired versions are made good by themselves."""
        wait = BACKOFF[0]
        while True:
            try:
                since = await self._list()
                while True:
                    began = time.monotonic()
                    since = await self._follow(since)
                    if time.monotonic() - began >= HEALTHY:
                        wait = BACKOFF[0]
                    else:  # a server, or a proxy before it, that ends every watch at once
                        await pause(wait * random.uniform(0.5, 1.0))
                        wait = min(wait * 2, BACKOFF[1])
            except Exception as problem:
                # A watch that ended would leave every rollout with a memory that grows old unsaid.
                if isinstance(problem, ApiError) and problem.gone:
                    log.warning("watch of %s: this cluster has no such kind yet", self.kind.plural)
                elif not isinstance(problem, ApiError | UnreachableError):
                    log.exception("watch of %s: failed, trying again", self.kind.plural)
                elif not (isinstance(problem, ApiError) and problem.code == 410):
                    log.warning("watch of %s: %s", self.kind.plural, problem)
                await pause(wait * random.uniform(0.5, 1.0))  # so that replicas do not call in step
                wait = min(wait * 2, BACKOFF[1])

    async def _list(self) -> str:
        listed = await self._api.list(self.kind, self._namespace, self._selector)
        self._objects.clear()
        self._owned.clear()
        for found in listed["items"]:
            self._put(found)
        self.seen_at = time.monotonic()
        self.synced.set()
        return str(listed["metadata"]["resourceVersion"])

    async def _follow(self, since: str) -> str:
        async with contextlib.aclosing(
            self._api.watch(self.kind, self._namespace, self._selector, since, SESSION)
        ) as events:
            async for what, found in events:
                self.seen_at = time.monotonic()
                if what == "ERROR":
                    raise ApiError(
                        found.get("code") or 0, found.get("reason") or "", found.get("message") or ""
                    )
                since = str(found["metadata"]["resourceVersion"])
                if what == "DELETED":
                    self._drop(found)
                elif what != "BOOKMARK":
                    self._put(found)
                if what != "BOOKMARK":
                    self.changed(found)
        return since

    def _owner(self, found: Object) -> str:
        metadata = found["metadata"]
        if self._key == OWN_NAME:
            return str(metadata["name"])
        labels = metadata.get("labels") or {}
        return str(labels.get(self._key) or (found.get("spec") or {}).get(self._key) or "")

    def _put(self, found: Object) -> None:
        metadata = found["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        old = self._objects.get((namespace, name))
        if old is not None:
            self._owned[namespace, self._owner(old)].discard(name)
        self._objects[namespace, name] = trim(found)
        self._owned[namespace, self._owner(found)].add(name)

    def _drop(self, found: Object) -> None:
        metadata = found["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        self._objects.pop((namespace, name), None)
        self._owned[namespace, self._owner(found)].discard(name)


class World:
    """Every watched kind, in the namespaces that are served (none named: in all)."""

    def __init__(self, api: Api, namespaces: tuple[str, ...] = ()) -> None:
        self._watches = [
            (namespace, Watch(api, kind, namespace, selector, key))
            for namespace in namespaces or (None,)
            for kind, selector, key in WATCHED
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to watch; returns once everything was listed."""
        self._tasks = [asyncio.create_task(watch.run()) for _, watch in self._watches]
        for _, watch in self._watches:
            await watch.synced.wait()

    async def stop(self) -> None:
        """Watch no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def on_change(self, call: Callable[[Object], None]) -> None:
        """``call`` hears of every changed object."""
        for _, watch in self._watches:
            watch.changed = call

    def of(self, kind: Kind, namespace: str, owner: str) -> list[Object]:
        """The objects of one SeldonDeployment (or rollout), as last told."""
        return [
            found
            for place, watch in self._watches
            if watch.kind == kind and place in (None, namespace)
            for found in watch.of(namespace, owner)
        ]

    def age(self) -> float:
        """Seconds since the most silent watch heard from the server."""
        return max((time.monotonic() - watch.seen_at for _, watch in self._watches), default=0.0)
