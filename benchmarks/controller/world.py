"""Hundreds of served models as objects on an API server without pods, and counters that grow with time."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import Any

from aiohttp import web

from serinus.kube.api import Api, ApiError, Object, UnreachableError
from serving.rollout.kube.names import DEPLOYMENT, POD, SELDON, SLICE, VIRTUAL_SERVICE, Kind, service_of
from serving.rollout.kube.watch import OWN_NAME, Watch

NAMESPACE = "models"
RATE = 20.0  # requests per second and model
CONCURRENT = 16
CHAMPION = "p-0000000001"


def predictor(target: str) -> Object:
    """A champion of the model chart's shape."""
    env = [
        {"name": "SERINUS_BUNDLE_URI", "value": f"s3://models/{target}/1"},
        {"name": "SERINUS_BUNDLE_DIGEST", "value": "sha256:" + "00" * 32},
    ]
    container = {"name": "scorer", "image": "scorer:1", "ports": [{"name": "metrics", "containerPort": 6000}]}
    spec = {
        "initContainers": [{"name": "bundle", "image": "scorer:1", "env": env}],
        "containers": [container, {"name": "drift", "image": "drift:1"}],
    }
    return {
        "name": CHAMPION,
        "traffic": 100,
        "replicas": 2,
        "graph": {"name": "scorer", "type": "MODEL"},
        "componentSpecs": [{"metadata": {"name": f"{target}-{CHAMPION}"}, "spec": spec}],
    }


class World:
    """Plays Seldon, the Deployment controller and the pods for ``targets`` models."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.sdep = Watch(api, SELDON, NAMESPACE, "", OWN_NAME)
        self.sdep.changed = self._changed
        self.seen: dict[str, dict[str, tuple[float, int]]] = {}  # target → predictor → since, traffic
        self.gone: dict[tuple[str, str], float] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._latest: dict[str, Object] = {}
        self._made: dict[str, set[str]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._gate = asyncio.Semaphore(CONCURRENT)

    async def fill(self, targets: list[str]) -> None:
        """Make the namespace and every model, served by its champion."""
        await self._put(Kind("", "v1", "namespaces", "Namespace"), {"metadata": {"name": NAMESPACE}}, None)
        await asyncio.gather(*(self._serve(target) for target in targets))
        self._tasks = [
            asyncio.create_task(self.sdep.run()),
            *(asyncio.create_task(self._work()) for _ in range(4)),
        ]
        await self.sdep.synced.wait()

    async def stop(self) -> None:
        """Play no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, target: str) -> None:
        async with self._gate:
            made = {"metadata": {"name": target}, "spec": {"name": target, "predictors": [predictor(target)]}}
            found = await self._put(SELDON, made)
            await self._reconcile(found)

    def _changed(self, found: Object) -> None:
        self._latest[found["metadata"]["name"]] = found
        self._queue.put_nowait(found["metadata"]["name"])

    async def _work(self) -> None:
        while True:
            target = await self._queue.get()
            with contextlib.suppress(ApiError, UnreachableError):
                await self._reconcile(self._latest[target])

    async def _reconcile(self, found: Object) -> None:
        target, now = found["metadata"]["name"], time.time()
        predictors: list[Object] = found["spec"]["predictors"]
        known = self.seen.setdefault(target, {})
        for given in predictors:
            name, traffic = given["name"], int(given.get("traffic") or 0)
            if known.get(name, (0.0, -1))[1] != traffic:
                known[name] = now, traffic
            await self._predictor(target, given)
        await self._route(target, predictors)
        for name in [n for n in known if n not in {p["name"] for p in predictors}]:
            del known[name]
            self.gone[target, name] = now
            await self._drop(target, name)

    async def _predictor(self, target: str, given: Object) -> None:
        name, service = given["name"], service_of(target, given)
        made = self._made.setdefault(target, set())
        if name in made:
            return
        made.add(name)
        labels = {"seldon-deployment-id": target, "seldon-app": service, "version": name}
        containers = [{"name": "scorer", "image": "scorer:1"}, {"name": "drift", "image": "drift:1"}]
        template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
        deployment = {
            "metadata": {"name": f"{target}-{name}", "labels": labels},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
        }
        await self._put(DEPLOYMENT, deployment)
        progress = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
        status = {
            "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2,
            "availableReplicas": 2, "conditions": [progress],
        }  # fmt: skip
        await self.api.merge(DEPLOYMENT, NAMESPACE, f"{target}-{name}", {"status": status}, "status")
        for index in range(2):
            pod = {
                "metadata": {"name": f"{target}-{name}-{index}", "labels": labels},
                "spec": template["spec"],
            }
            await self._put(POD, pod)
        piece = {
            "metadata": {"name": service, "labels": labels | {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 9000, "protocol": "TCP"}],
            "endpoints": [
                {"addresses": [f"10.9.0.{i + 1}"], "conditions": {"ready": True}} for i in range(2)
            ],
        }
        await self._put(SLICE, piece)

    async def _drop(self, target: str, name: str) -> None:
        self._made[target].discard(name)
        names = [(DEPLOYMENT, f"{target}-{name}"), (SLICE, f"{target}-{name}")]
        names += [(POD, f"{target}-{name}-{index}") for index in range(2)]
        for kind, each in names:
            with contextlib.suppress(ApiError):
                await self.api._call("DELETE", kind.path(NAMESPACE, each), params={"gracePeriodSeconds": "0"})

    async def _route(self, target: str, predictors: list[Object]) -> None:
        def destination(given: Object) -> Object:
            host = f"{service_of(target, given)}.{NAMESPACE}.svc.cluster.local"
            return {"destination": {"host": host}, "weight": int(given.get("traffic") or 0)}

        routes = [destination(p) for p in predictors if not p.get("shadow")]
        body = {
            "metadata": {"name": target},
            "spec": {"hosts": ["*"], "http": [{"route": routes}, {"route": routes}]},
        }
        try:
            await self._put(VIRTUAL_SERVICE, body)
        except ApiError as problem:
            if not problem.conflict:
                raise
            await self.api.merge(VIRTUAL_SERVICE, NAMESPACE, target, {"spec": body["spec"]})

    async def _put(self, kind: Kind, body: Object, namespace: str | None = NAMESPACE) -> Object:
        return await self.api.create(
            kind, namespace, {"apiVersion": kind.api_version, "kind": kind.kind} | body
        )


class Counters:
    """A Prometheus whose counters grow by each predictor's share of ``RATE``."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._began = time.time()
        self._runner: web.AppRunner | None = None
        self.url = ""
        self.queries = 0

    async def start(self) -> None:
        """Listen on a port of its own."""
        application = web.Application()
        application.router.add_post("/api/v1/query", self._query)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _query(self, request: web.Request) -> web.Response:
        self.queries += 1
        query = str((await request.post())["query"])
        name = re.search(r'predictor="([^"]+)"', query)
        pods = re.search(r'pod=~"\(([^)]+)\)', query)
        assert name is not None
        assert pods is not None
        deployment = next((d for d in pods[1].split("|") if d.endswith(name[1])), None)
        if deployment is None:  # its pods are gone
            return web.json_response({"status": "success", "data": {"resultType": "vector", "result": []}})
        target = deployment.removesuffix(f"-{name[1]}")
        since, traffic = self._world.seen.get(target, {}).get(name[1], (time.time(), 0))
        count = RATE * (traffic / 100) * (time.time() - since) + (0 if name[1] != CHAMPION else 1000)
        result: list[Any] = []
        for index in range(2):
            labels = {"predictor": name[1], "pod": f"{deployment}-{index}"}
            for metric in ("serinus_requests_total", "serinus_decisions_total"):
                code = {"code": "200"} if metric.startswith("serinus_req") else {"decision": "approve"}
                result.append({"metric": {"__name__": metric} | labels | code, "value": [0, str(count // 2)]})
            for metric, edges in HISTOGRAMS.items():
                for edge in edges:
                    row = {"__name__": metric, "le": edge} | labels
                    result.append({"metric": row, "value": [0, str(count // 2)]})
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})


HISTOGRAMS = {
    "model_latency_seconds_bucket": (
        "0.01",
        "0.015",
        "0.025",
        "0.05",
        "0.1",
        "0.25",
        "0.5",
        "1.0",
        "2.5",
        "+Inf",
    ),
    "serinus_score_bucket": (
        "0.05",
        "0.1",
        "0.2",
        "0.3",
        "0.4",
        "0.5",
        "0.6",
        "0.7",
        "0.8",
        "0.9",
        "0.95",
        "0.99",
        "+Inf",
    ),
}
