"""What a rollout acts on, without pods: Seldon's and Kubernetes's part is written as objects on a real API server.

It keeps the rules that a controller must live with: routes are rewritten only
when every predictor's Deployment is ready, and what is removed goes after that.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web

from serinus.kube.api import Api, ApiError, Object
from serving.rollout.kube.names import (
    DEPLOYMENT,
    EVENT,
    POD,
    ROLLOUT,
    SELDON,
    SLICE,
    VIRTUAL_SERVICE,
    Kind,
    service_of,
)

NAMESPACE = Kind("", "v1", "namespaces", "Namespace")
DIGEST = "sha256:" + "ab" * 32
CANDIDATE = "p-ababababab"
CHAMPION = "p-0000000001"
TARGET = "fraud"
PULSE = 0.03  # seconds between two passes
PATIENCE = 90.0  # seconds: what comes, comes; a busy machine takes its time


def predictor(name: str = CHAMPION, traffic: int = 100, digest: str = "sha256:" + "00" * 32) -> Object:
    return {
        "name": name,
        "traffic": traffic,
        "replicas": 1,
        "labels": {"version": name},
        "annotations": {"version": name, "seldon.io/no-engine": "true"},
        "graph": {"name": "scorer", "type": "MODEL"},
        "componentSpecs": [
            {
                "metadata": {"name": f"{TARGET}-{name}"},
                "spec": {
                    "initContainers": [
                        {
                            "name": "bundle",
                            "image": "serinus/scorer:1",
                            "env": [
                                {"name": "SERINUS_BUNDLE_URI", "value": "s3://models/fraud/1"},
                                {"name": "SERINUS_BUNDLE_DIGEST", "value": digest},
                            ],
                        }
                    ],
                    "containers": [
                        {
                            "name": "scorer",
                            "image": "serinus/scorer:1",
                            "ports": [{"name": "metrics", "containerPort": 6000}],
                        }
                    ],
                },
            }
        ],
    }


def rollout(name: str = "fraud-4", **spec: Any) -> Object:
    filled: Object = {
        "target": TARGET,
        "startedBy": "ann",
        "candidate": {"bundle": {"uri": "s3://models/fraud/4", "digest": DIGEST}},
        "steps": [{"weight": 10, "minRequests": 20}, {"weight": 50, "minRequests": 40}],
        "guards": [{"name": "errors", "metric": "errors", "marginAbsolute": 0.05}],
        "limits": {"readyTimeout": "2m"},
    }
    return {
        "apiVersion": ROLLOUT.api_version,
        "kind": ROLLOUT.kind,
        "metadata": {"name": name},
        "spec": filled | spec,
    }


class Prometheus:
    """Counters by predictor, as a Prometheus server answers for them."""

    def __init__(self) -> None:
        self.counts: dict[str, tuple[float, float]] = {}
        self.broken = False
        self.posts: list[tuple[str, Object]] = []  # what came to /hook
        self.asked: Counter[str] = Counter()  # predictor → questions that were answered
        self.url = ""
        self._asked_at: tuple[str, dict[str, tuple[float, float]]] = "", {}
        self._runner: web.AppRunner | None = None

    def add(self, name: str, good: float, bad: float = 0.0) -> None:
        old = self.counts.get(name, (0.0, 0.0))
        self.counts[name] = old[0] + good, old[1] + bad

    async def start(self) -> None:
        application = web.Application()
        application.router.add_post("/api/v1/query", self._query)
        application.router.add_post("/hook", self._hook)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _hook(self, request: web.Request) -> web.Response:
        self.posts.append((request.headers["Idempotency-Key"], await request.json()))
        return web.Response()

    async def _query(self, request: web.Request) -> web.Response:
        if self.broken:
            return web.Response(status=503)
        form = await request.post()
        found = re.search(r'predictor="([^"]+)"', str(form["query"]))
        assert found is not None
        name = found[1]
        self.asked[name] += 1
        if self._asked_at[0] != form["time"]:
            self._asked_at = str(form["time"]), self.counts.copy()
        counts = self._asked_at[
            1
        ]  # the same of one moment, however much later the second predictor is asked about
        result: list[Object] = []
        if name in counts:
            for code, value in zip(("200", "500"), counts[name], strict=True):
                labels = {
                    "__name__": "serinus_requests_total",
                    "pod": f"{TARGET}-{name}-x",
                    "predictor": name,
                    "code": code,
                }
                result.append({"metric": labels, "value": [0, str(value)]})
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})


class Stage:
    """One namespace with one SeldonDeployment. ``run`` plays Seldon's and the node's part."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.prometheus = Prometheus()
        self.rate = 100.0  # requests in each pass
        self.errors: dict[str, float] = {}  # predictor → share of bad answers
        self.unready: set[str] = set()
        self.stuck: dict[str, str] = {}  # predictor → why its pod waits
        self.splits: list[dict[str, int]] = []  # each distinct split of the SeldonDeployment
        self.live: dict[str, int] = {}  # what the VirtualService says
        self._task: asyncio.Task[None] | None = None
        self._made: set[str] = set()

    async def begin(self) -> None:
        await self.api.create(NAMESPACE, None, {"metadata": {"name": self.namespace}})
        await self.prometheus.start()
        await self.deploy(predictor())
        await self.pass_once()
        await self.pass_once()
        self._task = asyncio.create_task(self._run())

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.prometheus.stop()

    async def deploy(self, *predictors: Object) -> Object:
        body = {
            "apiVersion": SELDON.api_version,
            "kind": SELDON.kind,
            "metadata": {"name": TARGET, "annotations": {"team": "fraud"}},
            "spec": {"name": TARGET, "predictors": list(predictors), "protocol": "seldon"},
        }
        return await self.api.create(SELDON, self.namespace, body)

    async def predictors(self) -> list[Object]:
        found = await self.api.find(SELDON, self.namespace, TARGET)
        return found["spec"]["predictors"] if found else []

    async def edit(self, predictors: list[Object]) -> None:
        """Another hand, as kubectl edit."""
        await self.api._call(
            "PATCH",
            SELDON.path(self.namespace, TARGET),
            body={"spec": {"predictors": predictors}},
            content="application/merge-patch+json",
            params={"fieldManager": "kubectl-edit"},
        )

    async def put(self, kind: Kind, body: Object) -> Object:
        return await self.api.create(
            kind, self.namespace, {"apiVersion": kind.api_version, "kind": kind.kind} | body
        )

    async def change(self, **spec: Any) -> None:
        """Edit the ModelRollout's spec."""
        await self.api.merge(ROLLOUT, self.namespace, "fraud-4", {"spec": spec})

    async def status(self, name: str = "fraud-4") -> Object:
        found = await self.api.find(ROLLOUT, self.namespace, name)
        return (found or {}).get("status") or {}

    async def empty(self) -> None:
        """Another hand empties the ModelRollout's status."""
        left = await self.api.merge(ROLLOUT, self.namespace, "fraud-4", {"status": None}, "status")
        assert not left.get("status")

    async def until(self, holds: Callable[[Object], Any], name: str = "fraud-4") -> Object:
        """Wait until a ModelRollout's status fulfils a condition. Only what stays so is certain to be seen."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    status = await self.status(name)
                    if holds(status):
                        return status
                    await asyncio.sleep(0.03)
        except TimeoutError:
            status = await self.status(name)
            shown = {key: value for key, value in status.items() if key not in ("engine", "target")}
            raise AssertionError(f"not in time: {shown}; predictors {self.splits}") from None

    async def phase(self, *phases: str) -> Object:
        return await self.until(lambda status: status.get("phase") in phases)

    async def ended(self) -> Object:
        return await self.until(is_ended)

    async def told(self) -> Object:
        """Wait until it has ended and all of it was told: Events and notifications may come after the status."""
        return await self.until(
            lambda status: is_ended(status) and status["told"] == status["history"][-1]["seq"]
        )

    async def event(self, reason: str) -> Object:
        """Wait for the Event of that reason."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for found in await self.events():
                    if found["reason"] == reason:
                        return found
                await asyncio.sleep(0.05)

    async def becomes(self, split: dict[str, int]) -> None:
        """Wait until the SeldonDeployment says so, and the live routes too: the one may be ahead of the other."""
        async with asyncio.timeout(PATIENCE):
            while self.live != split or split_of(await self.predictors()) != split:
                await asyncio.sleep(0.03)

    async def gone(self, name: str = "fraud-4") -> None:
        """Wait until the ModelRollout is not there any more."""
        async with asyncio.timeout(PATIENCE):
            while await self.api.find(ROLLOUT, self.namespace, name) is not None:
                await asyncio.sleep(0.03)

    async def sampled(self) -> None:
        """Wait until the counters were read as they are now, and what was read was accounted for."""
        before = self.prometheus.asked.copy()
        async with asyncio.timeout(PATIENCE):
            # The first answer may belong to a reading under way, and the last to one that is not accounted for yet.
            while min(self.prometheus.asked[name] - before[name] for name in self.live) < 3:
                await asyncio.sleep(0.03)

    async def events(self) -> list[Object]:
        return (await self.api.list(EVENT, self.namespace))["items"]

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(OSError, ApiError):
                await self.pass_once()
            await asyncio.sleep(PULSE)

    async def pass_once(self) -> None:
        """One reconciliation, and the requests of the moment by the live routes."""
        found = await self.api.find(SELDON, self.namespace, TARGET)
        if found is None:
            return
        predictors: list[Object] = found["spec"]["predictors"]
        split = split_of(predictors)
        if not self.splits or self.splits[-1] != split:
            self.splits.append(split)
        ready = [await self._predictor(found, p) for p in predictors]
        if all(ready):
            await self._routes(predictors)
            await self._remove({p["name"] for p in predictors})
        for name, weight in self.live.items():
            bad = self.errors.get(name, 0.0)
            requests = self.rate * weight / 100
            self.prometheus.add(name, requests * (1 - bad), requests * bad)

    async def _predictor(self, owner: Object, given: Object) -> bool:
        name = given["name"]
        service = service_of(TARGET, given)
        labels = {"seldon-deployment-id": TARGET, "seldon-app": service, "version": name}
        if name not in self._made:
            template = {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "scorer", "image": "x"}]},
            }
            await self._ensure(
                DEPLOYMENT,
                {
                    "metadata": {"name": f"{TARGET}-{name}", "labels": labels},
                    "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
                },
            )
            await self._ensure(SLICE, self._slice(service, labels, ready=False))
            self._made.add(name)
        ready = name not in self.unready and name not in self.stuck
        await self._say(name, service, labels, ready)
        if name in self.stuck:
            await self._stick(name, labels)
        return ready

    async def _say(self, name: str, service: str, labels: Object, ready: bool) -> None:
        deployment = await self.api.get(DEPLOYMENT, self.namespace, f"{TARGET}-{name}")
        if bool((deployment.get("status") or {}).get("availableReplicas")) == ready and deployment.get(
            "status", {}
        ).get("observedGeneration"):
            return
        done = "NewReplicaSetAvailable" if ready else "ReplicaSetUpdated"
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": 1,
            "updatedReplicas": 1,
            "readyReplicas": int(ready),
            "availableReplicas": int(ready),
            "conditions": [{"type": "Progressing", "status": "True", "reason": done}],
        }
        await self.api.merge(DEPLOYMENT, self.namespace, f"{TARGET}-{name}", {"status": status}, "status")
        body = self._slice(service, labels, ready=ready)
        await self.api.merge(SLICE, self.namespace, service, {"endpoints": body["endpoints"]})

    def _slice(self, service: str, labels: Object, *, ready: bool) -> Object:
        return {
            "metadata": {"name": service, "labels": labels | {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": ready}}],
            "ports": [{"name": "http", "port": 9000, "protocol": "TCP"}],
        }

    async def _stick(self, name: str, labels: Object) -> None:
        pod = f"{TARGET}-{name}-x"
        await self._ensure(
            POD,
            {
                "metadata": {"name": pod, "labels": labels},
                "spec": {"containers": [{"name": "scorer", "image": "x"}]},
            },
        )
        why = self.stuck[name]
        status: Object = {"phase": "Failed", "reason": "Evicted", "message": "the node was low on memory"}
        if why != "Evicted":
            waiting = {"waiting": {"reason": why}}
            container = {
                "name": "scorer", "image": "x", "imageID": "", "ready": False, "restartCount": 3, "state": waiting
            }  # fmt: skip
            status = {"phase": "Running", "containerStatuses": [container]}
        await self.api.merge(POD, self.namespace, pod, {"status": status}, "status")

    async def _routes(self, predictors: list[Object]) -> None:
        def destination(p: Object, port: int) -> Object:
            host = f"{service_of(TARGET, p)}.{self.namespace}.svc.cluster.local"
            return {"host": host, "subset": p["name"], "port": {"number": port}}

        live = [p for p in predictors if not p.get("shadow")]
        http: list[Object] = []
        for port in (8000, 5001):
            route: Object = {
                "route": [
                    {"destination": destination(p, port), "weight": int(p.get("traffic") or 0)} for p in live
                ]
            }
            for p in predictors:
                if p.get("shadow"):
                    route |= {"mirror": destination(p, port), "mirrorPercentage": {"value": p["traffic"]}}
            http.append(route)
        body = {"metadata": {"name": TARGET}, "spec": {"hosts": ["*"], "http": http}}
        if not await self._ensure(VIRTUAL_SERVICE, body):
            await self.api.merge(VIRTUAL_SERVICE, self.namespace, TARGET, {"spec": {"http": http}})
        self.live = split_of(predictors)

    async def _remove(self, kept: set[str]) -> None:
        for name in [n for n in self._made if n not in kept]:
            for kind, made in ((DEPLOYMENT, f"{TARGET}-{name}"), (SLICE, f"{TARGET}-{name}")):
                await self.delete(kind, made)
            self._made.discard(name)

    async def delete(self, kind: Kind, name: str) -> None:
        with contextlib.suppress(ApiError):
            await self.api._call("DELETE", kind.path(self.namespace, name))

    async def _ensure(self, kind: Kind, body: Object) -> bool:
        try:
            await self.put(kind, copy.deepcopy(body))
            return True
        except ApiError as problem:
            if not problem.conflict:
                raise
            return False


def split_of(predictors: list[Object]) -> dict[str, int]:
    return {p["name"]: int(p.get("traffic") or 0) for p in predictors}


def is_ended(status: Object) -> bool:
    return any(c["type"] == "Ended" and c["status"] == "True" for c in status.get("conditions") or [])


def conditions(status: Object) -> dict[str, str]:
    return {c["type"]: c["status"] for c in status.get("conditions") or []}


def reasons(events: list[Object]) -> Iterator[str]:
    ordered = sorted(events, key=lambda e: e["eventTime"])
    return (e["reason"] for e in ordered)
