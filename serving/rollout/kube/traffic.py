"""Live routing on Kubernetes: written by the SeldonDeployment's predictors, read back from Istio."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from serinus.kube.api import Object

from ..ports import Readback
from ..status import RolloutStatus, Routes
from .hands import Hands
from .names import SLICE, VIRTUAL_SERVICE
from .ports import Cluster
from .routing import read_back, ready_endpoints
from .seldon import Predictor, named, predictors, routed
from .subject import removing

STALE = 600.0  # seconds of silence after which a watch's memory is worth nothing


class Pace(NamedTuple):
    """How long the ways of a change may take, in seconds.

    ``settle``: from the VirtualService to the gateways' Envoys; Istio gathers changes for
    100 ms and sends them within a second. ``drain``: what Seldon may take to give a
    candidate no more requests, before it is removed at once.
    """

    settle: float = 2.0
    drain: float = 5.0


class SeldonTraffic:
    """Live routing, by the one field that is safe to write: the SeldonDeployment's predictors.

    A change is read back from the API server itself until it is in place, endpoints
    included; from then on the watches tell of any other hand. (A pod that comes or
    goes later is its predictor's health, and not a changed route.)

    What another hand changed is told before it is overwritten, except on the way back to
    the champion, which waits for nothing.
    """

    def __init__(
        self,
        cluster: Cluster,
        current: Callable[[], RolloutStatus],
        pace: Pace,
        now: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._current = current
        self._pace = pace
        self._now = now
        self._hands = Hands(cluster.scene.champion, cluster.scene.candidate)
        self._behind = False  # the watch has not told yet of what was found in writing
        self._draining: float | None = None  # since when the candidate is to get nothing

    async def apply(self, routes: Routes) -> None:
        """Write the predictors that ``routes`` asks for."""
        scene = self._cluster.scene
        status = self._current()
        going = removing(status)

        def change(found: list[Predictor]) -> list[Predictor]:
            unready = frozenset(
                str(p["name"]) for p in found if self._cluster.health(str(p["name"])).state != "ready"
            )
            return routed(
                found,
                routes,
                champion=scene.subject.champion,
                candidate=scene.candidate,
                removing=going and not self._drains(found),
                unready=unready,
            )

        def untold(found: Object) -> bool:
            edit = self._hands.edit(found, routes, removing=going)
            self._behind = not going and bool(edit) and edit != status.last_edit
            return self._behind

        if await self._cluster.edit(change, untold):
            self._hands.wrote(routes)

    def _drains(self, found: list[Predictor]) -> bool:
        """Does a candidate on its way out first lose its requests, and only then its place?

        Istio takes a removed predictor's cluster and its route from the gateway in this
        order; requests in between are answered with 503. At 0 % there are none. But Seldon
        moves a weight only while every pod is ready, and nobody waits for that for long.
        """
        candidate = named(found, self._cluster.scene.candidate)
        # What had no routes yet or gets copies only is missed by nobody.
        if candidate is None or candidate.get("shadow") or self._current().decided_at is None:
            return False
        if self._draining is None:
            self._draining = self._now()
        return self._now() - self._draining < self._pace.drain and self._cluster.routable(found)

    async def read_back(self, routes: Routes) -> Readback:
        """Compare with the VirtualService and the endpoints."""
        return replace(await self._compare(routes), settle=self._pace.settle)

    async def _compare(self, routes: Routes) -> Readback:
        scene, cluster = self._cluster.scene, self._cluster
        place = scene.namespace, scene.target
        found = None if self._behind else cluster.remembered()
        if found is None or found["metadata"]["uid"] != scene.subject.uid:
            found = await cluster.fetch()
        if found is None:
            return Readback(state="gone", detail=f"SeldonDeployment {scene.target} was deleted")
        if cluster.world.age() > STALE:
            return Readback(state="cannot_tell", detail="the API server has not told anything for minutes")
        status = self._current()
        going = removing(status)
        if status.verified == routes:
            services = cluster.world.of(VIRTUAL_SERVICE, *place)
            service, ready = services[0] if services else None, None
        else:
            service = await cluster.api.find(VIRTUAL_SERVICE, *place)
            ready = ready_endpoints(cluster.world.of(SLICE, *place))
        changed = self._hands.differs(found, routes, removing=going)
        if changed is not None:
            return Readback(
                state="not_yet",
                detail=f"in SeldonDeployment {scene.target}, {changed}",
                edit=self._hands.edit(found, routes, removing=going),
            )
        out = going and named(predictors(found), scene.candidate) is None
        seen = read_back(service, ready, routes, cluster.services, removed=scene.candidate if out else None)
        if seen.state == "verified":
            self._hands.agree(routes)
        return seen
