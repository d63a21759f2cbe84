"""The engine's ports on Kubernetes: predictors and metrics of one SeldonDeployment; ``traffic`` has its routes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from serinus.evidence import Sample
from serinus.kube.api import Api, ApiError, Object

from ..adapters.prometheus import PrometheusMetrics, any_of, quoted
from ..adapters.scrape import ScrapeMetrics
from ..ports import Health, ProviderError
from .health import belongs, health, routable
from .names import DEPLOYMENT, POD, SELDON, SLICE
from .routing import ready_endpoints
from .seldon import Predictor, named, predictors, without
from .subject import Scene
from .watch import World

log = logging.getLogger(__name__)


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

    async def edit(
        self,
        change: Callable[[list[Predictor]], list[Predictor]],
        unless: Callable[[Object], bool] = lambda found: False,
    ) -> bool:
        """Change the predictors, if that changes anything and nobody was faster; False: not this time.

        The list has no keys in Seldon's schema, so it is one field to server-side
        apply: whoever sets a weight owns all of it. Hence the whole list is read,
        changed and applied under the resource version that was read; an edit by
        another hand in between is a conflict, and the next look starts from it.
        ``unless`` is asked about what was read, and may hold the change back.
        """
        found = await self.fetch()
        if found is None or unless(found):
            return False
        before = predictors(found)
        after = change(before)
        if after == before:
            return True
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
            return False
        return True

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

    def routable(self, found: list[Predictor]) -> bool:
        """Would Seldon rewrite the routes now for these predictors?"""
        return all(routable(self.deployments(str(predictor["name"]))) for predictor in found)


class SeldonPredictors:
    """Predictors are entries of the SeldonDeployment; Seldon runs them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def start(self, name: str) -> None:
        """Add the candidate, without traffic."""
        made = self._cluster.scene.candidate_predictor()
        await self._cluster.edit(lambda found: found if named(found, name) else [*found, made])

    async def health(self, name: str) -> Health:
        """From Deployments and pods, and for the candidate from its endpoints.

        Its Deployment may be complete while no route can reach it: they are told of by another
        controller. The first request waits for that.
        """
        found, cluster = self._cluster.health(name), self._cluster
        if name != cluster.scene.candidate or found.state != "ready":
            return found
        service = cluster.services[name]
        endpoints = cluster.world.of(SLICE, cluster.scene.namespace, cluster.scene.target)
        if ready_endpoints(endpoints).get(service):
            return found
        return replace(found, state="starting", detail=f"service {service} has no ready endpoint yet")

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
    pods = quoted(f"({any_of((*sorted(deployments), f'{target}-outcomes'))})-.+")
    return f"namespace={quoted(namespace)},pod=~{pods}"


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
