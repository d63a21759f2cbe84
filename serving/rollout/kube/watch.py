"""What the cluster holds, kept up to date by watches: one listing, then changes only.

A rollout looks every few seconds; with this, looking costs the API server
nothing. Each kind is watched once for all rollouts, narrowed by a label on the
server's side where the kind has one.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

from serinus.kube.api import Api, Object
from serinus.kube.follow import Following

from .hands import own_predictors
from .names import APPROVAL, COMMAND, DEPLOYMENT, POD, SELDON, SELDON_ID, SLICE, VIRTUAL_SERVICE, Kind

OWN_NAME = "metadata.name"

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


class Watch(Following):
    """All objects of one kind in one namespace (or all), by namespace and owner."""

    def __init__(self, api: Api, kind: Kind, namespace: str | None, selector: str, key: str) -> None:
        super().__init__(api, kind, namespace, selector)
        self.changed: Callable[[Object], None] = lambda found: None
        self._key = key
        self._objects: dict[tuple[str, str], Object] = {}
        self._owned: dict[tuple[str, str], set[str]] = defaultdict(set)

    def of(self, namespace: str, owner: str) -> Iterator[Object]:
        """The objects that belong to one SeldonDeployment, or speak of one rollout."""
        for name in sorted(self._owned.get((namespace, owner), ())):
            yield self._objects[namespace, name]

    async def _listed(self, items: list[Object]) -> None:
        self._objects.clear()
        self._owned.clear()
        for found in items:
            self._put(found)

    async def _heard(self, what: str, found: Object) -> None:
        if what == "DELETED":
            self._drop(found)
        else:
            self._put(found)
        self.changed(found)

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
