"""The engine's ports on Kubernetes: traffic, predictors and metrics of one SeldonDeployment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from serinus.evidence import Sample

from ..adapters.prometheus import PrometheusMetrics
from ..adapters.scrape import ScrapeMetrics
from ..ports import Health, ProviderError, Readback
from ..status import RolloutStatus, Routes
from .api import Api, ApiError, Object
from .health import belongs, health
from .names import DEPLOYMENT, POD, SELDON, SLICE, VIRTUAL_SERVICE
from .routing import read_back, ready_endpoints
from .seldon import Predictor, edited, named, predictors, routed, without
from .subject import Scene, removing
from .watch import World

log = logging.getLogger(__name__)

STALE = 600.0  # seconds of silence after which a watch's memory is worth nothing


class Cluster:
    """One SeldonDeployment as the watches tell it, and edits of its predictors."""

    def __init__(self, api: Api, world: World, scene: Scene) -> None:
        self.api = api
        self.world = world
        self.scene = scene
        self.services = scene.services

    def remembered(self) -> Object | None:
        """The SeldonDeployment as last told."""
        found = self.world.of(SELDON, self.scene.namespace, self.scene.target)
        return found[0] if found else None

    async def fetch(self) -> Object | None:
        """The SeldonDeployment as it is now; None if it, or the one of the rollout's beginning, is gone."""
        found = await self.api.find(SELDON, self.scene.namespace, self.scene.target)
        return found if found and found["metadata"]["uid"] == self.scene.subject.uid else None

    async def edit(self, change: Callable[[list[Predictor]], list[Predictor]]) -> None:
        """Change the predictors, if that changes anything and nobody was faster.

        The list has no keys in Seldon's schema, so it is one field to server-side
        apply: whoever sets a weight owns all of it. Hence the whole list is read,
        changed and applied under the resource version that was read; an edit by
        another hand in between is a conflict, and the next look starts from it.
        """
        found = await self.fetch()
        if found is None:
            return
        before = predictors(found)
        after = change(before)
        if after == before:
            return
        body = {
            "apiVersion": SELDON.api_version,
            "kind": SELDON.kind,
            "metadata": {
                "name": self.scene.target,
                "namespace": self.scene.namespace,
                "resourceVersion": found["metadata"]["resourceVersion"],
            },
            "spec": {"predictors": after},
        }
        try:
            await self.api.apply(SELDON, self.scene.namespace, self.scene.target, body)
        except ApiError as problem:
            if not problem.conflict:
                raise
            log.info("rollout %s: %s was edited meanwhile, looking again", self.scene.name, self.scene.target)

    def deployments(self, predictor: str) -> list[Object]:
        """The predictor's Deployments."""
        return list(self._belonging(self.world.of(DEPLOYMENT, *self._place), predictor))

    def pods(self, predictor: str) -> list[Object]:
        """The predictor's pods."""
        return list(self._belonging(self.world.of(POD, *self._place), predictor))

    @property
    def _place(self) -> tuple[str, str]:
        return self.scene.namespace, self.scene.target

    def _belonging(self, found: Iterable[Object], predictor: str) -> Iterable[Object]:
        service = self.services.get(predictor, f"{self.scene.target}-{predictor}")
        return (one for one in found if belongs(one, service, predictor))

    def health(self, predictor: str) -> Health:
        """The predictor's state; ``absent`` once it is not in the SeldonDeployment."""
        found = self.remembered()
        if found is None or named(predictors(found), predictor) is None:
            return Health(state="absent")
        return health(self.deployments(predictor), self.pods(predictor))


class SeldonTraffic:
    """Live routing, by the one field that is safe to write: the SeldonDeployment's predictors.

    A change is read back from the API server itself until it is in place, endpoints
    included; from then on the watches tell of any other hand. (A pod that comes or
    goes later is its predictor's health, and not a changed route.)
    """

    def __init__(self, cluster: Cluster, current: Callable[[], RolloutStatus]) -> None:
        self._cluster = cluster
        self._current = current

    async def apply(self, routes: Routes) -> None:
        """Write the predictors that ``routes`` asks for."""
        scene = self._cluster.scene
        going = removing(self._current())

        def change(found: list[Predictor]) -> list[Predictor]:
            unready = frozenset(
                str(p["name"]) for p in found if self._cluster.health(str(p["name"])).state != "ready"
            )
            return routed(
                found,
                routes,
                champion=scene.subject.champion,
                candidate=scene.candidate,
                removing=going,
                unready=unready,
            )

        await self._cluster.edit(change)

    async def read_back(self, routes: Routes) -> Readback:
        """Compare with the VirtualService and the endpoints."""
        scene, cluster = self._cluster.scene, self._cluster
        place = scene.namespace, scene.target
        found = cluster.remembered()
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
        changed = edited(
            predictors(found),
            routes,
            champion=scene.champion,
            candidate=scene.candidate,
            removing=going,
        )
        if changed is not None:
            return Readback(state="not_yet", detail=f"in SeldonDeployment {scene.target}, {changed}")
        return read_back(service, ready, routes, cluster.services, removed=scene.candidate if going else None)


class SeldonPredictors:
    """Predictors are entries of the SeldonDeployment; Seldon runs them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def start(self, name: str) -> None:
        """Add the candidate, without traffic."""
        made = self._cluster.scene.candidate_predictor()
        await self._cluster.edit(lambda found: found if named(found, name) else [*found, made])

    async def health(self, name: str) -> Health:
        """From Deployments and pods."""
        return self._cluster.health(name)

    async def stop(self, name: str) -> None:
        """Take it out of the SeldonDeployment, which ends its pods after their last answer."""
        await self._cluster.edit(lambda found: without(found, name) if named(found, name) else found)


EXECUTOR = "seldon-container-engine"
OUTCOMES = "serinus.io/outcomes"
"""Annotation of a SeldonDeployment: the port of its Service ``…-outcomes``, which joins labels to decisions."""


def metric_pages(pods: Iterable[Object]) -> dict[str, str]:
    """Pod → its metrics page, of the pods that run and are not on their way out."""
    found: dict[str, str] = {}
    for pod in pods:
        status = pod.get("status") or {}
        address = status.get("podIP")
        if not address or status.get("phase") != "Running" or pod["metadata"].get("deletionTimestamp"):
            continue
        host = f"[{address}]" if ":" in address else address
        path = (pod["metadata"].get("annotations") or {}).get("prometheus.io/path", "/prometheus")
        for container in pod["spec"].get("containers") or []:
            port = next((p for p in container.get("ports") or [] if p.get("name") == "metrics"), None)
            if port is not None and container["name"] != EXECUTOR:
                found[pod["metadata"]["name"]] = f"http://{host}:{port['containerPort']}{path}"
                break
    return found


def outcomes_page(found: Object | None) -> dict[str, str]:
    """The page of a SeldonDeployment's outcomes, if it says that it has one."""
    metadata = (found or {}).get("metadata", {})
    port = (metadata.get("annotations") or {}).get(OUTCOMES, "")
    if not port.isdecimal():
        return {}
    # The name is the chart's and not the annotation's, which would let its author choose what we ask.
    return {"outcomes": f"http://{metadata['name']}-outcomes.{metadata['namespace']}:{port}/metrics"}


def matchers(namespace: str, target: str, deployments: Iterable[str]) -> str:
    """What Prometheus's series of a SeldonDeployment's pods carry: of these Deployments, and of its outcomes.

    The pods' names, not only the predictor's: two models may serve the same bundle.
    """
    pods = "|".join((*sorted(deployments), f"{target}-outcomes"))
    return f'namespace="{namespace}",pod=~"({pods})-.+"'


class SeldonMetrics:
    """Raw counters by pod and predictor: from Prometheus where there is one, else from the pods."""

    def __init__(self, cluster: Cluster, prometheus: str | None, now: Callable[[], float]) -> None:
        self._cluster = cluster
        self._prometheus = prometheus
        self._now = now
        self._pods = ScrapeMetrics(
            lambda name: metric_pages(cluster.pods(name)),
            now=now,
            beside=lambda: outcomes_page(cluster.remembered()),
        )
        self._queries: dict[str, PrometheusMetrics] = {}

    async def close(self) -> None:
        """Close the HTTP connections."""
        await self._pods.close()
        for query in self._queries.values():
            await query.close()

    async def sample(self, stable: str, canary: str) -> Sample:
        """Read both predictors at one instant. Raises ``ProviderError`` if either cannot be read."""
        if self._prometheus is None:
            return await self._pods.sample(stable, canary)
        scene = self._cluster.scene
        names = [d["metadata"]["name"] for name in (stable, canary) for d in self._cluster.deployments(name)]
        if not names:
            raise ProviderError(f"{scene.target} has no Deployment whose pods could be asked for")
        wanted = matchers(scene.namespace, scene.target, names)
        if wanted not in self._queries:
            for query in self._queries.values():
                await query.close()
            self._queries = {wanted: PrometheusMetrics(self._prometheus, "", matchers=wanted, now=self._now)}
        return await self._queries[wanted].sample(stable, canary)
