"""The session's API server without pods, with our kinds and the foreign ones in place."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest

from serinus.kube.api import Api, ApiError, Object, UnreachableError
from serving.rollout.kube.crd import definitions
from serving.rollout.kube.names import APPROVAL, COMMAND, ROLLOUT, Kind
from serving.rollout.kube.policy import policies
from serving.rollout.kube.rollout import Settings
from serving.rollout.kube.supervise import Supervisor
from serving.rollout.kube.traffic import Pace
from serving.rollout.kube.watch import World
from tests.support.apiserver import ApiServer, tools

from .crds import foreign
from .stage import PATIENCE, Stage, rollout

CRD = Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
POLICY = Kind(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy"
)
BINDING = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
)
USERS = ("ann", "bob", "controller")


async def install(server: ApiServer) -> None:
    """Our kinds and policies, and what Seldon and Istio would bring."""
    api = Api(server.configuration())
    for made in [*definitions(), *foreign()]:
        await api.create(CRD, None, made)
    for made in policies():
        kind = POLICY if made["kind"] == POLICY.kind else BINDING
        await api.create(kind, None, made)
    async with asyncio.timeout(PATIENCE):
        for made in [*definitions(), *foreign()]:
            spec = made["spec"]
            kind = Kind(spec["group"], spec["versions"][0]["name"], spec["names"]["plural"], "")
            while await api.find(kind, None, "") is None:
                await asyncio.sleep(0.1)
        # Policies are taken up later than they are stored: wait until each refuses what it is for.
        for kind, body in foreign_words():
            while not await refuses(api, kind, body):
                await asyncio.sleep(0.1)
    await api.close()


def foreign_words() -> list[tuple[Kind, Object]]:
    """One of each kind in the name of somebody else."""
    by = {"rollout": "fraud-4", "by": "somebody", "reason": "seen"}
    said = [
        (ROLLOUT, rollout(startedBy="somebody")),
        (APPROVAL, {"spec": by}),
        (COMMAND, {"spec": by | {"command": "pause"}}),
    ]
    return [
        (kind, body | {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "foreign"}})
        for kind, body in said
    ]


async def refuses(api: Api, kind: Kind, body: Object) -> bool:
    """Whether it would be refused for the name in it; nothing is made."""
    try:
        await api._call("POST", kind.path("default"), body=body, params={"dryRun": "All"})
    except ApiError as problem:
        return "must be your own name" in problem.message
    except UnreachableError:
        pass
    return False


@contextmanager
def running(*users: str) -> Generator[ApiServer]:
    """An API server that knows these users, with our kinds in it; without its programs the test is skipped."""
    path = tools()
    if path is None:
        from .conftest import absent

        absent("no kube-apiserver: set SERINUS_CLUSTER to the test cluster's script, and build its tools")
    assert path is not None
    made = ApiServer(path)
    try:
        made.start(*users)
        asyncio.run(install(made))
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def server() -> Iterator[ApiServer]:
    with running(*USERS) as made:
        yield made


@asynccontextmanager
async def staged(server: ApiServer) -> AsyncGenerator[Stage]:
    """A namespace with one served model, and traffic."""
    api = Api(server.configuration())
    stage = Stage(api, f"t-{uuid.uuid4().hex[:10]}")
    await stage.begin()
    try:
        yield stage
    finally:
        await stage.end()
        await api.close()


def quick(stage: Stage, **changes: Any) -> Settings:
    """Seconds become moments."""
    fields: dict[str, Any] = {
        "interval": 0.15,
        "quick": 0.04,
        "patience": 0.1,
        "checkpoint": 1.0,
        "pace": Pace(settle=0.2, drain=60.0),  # a pass of the stage may take its time
        "prometheus": stage.prometheus.url,
    }
    return Settings(**(fields | changes))


class Replica:
    """A controller's working part in one namespace: watches, supervisor, and a feed of ModelRollouts."""

    def __init__(
        self,
        server: ApiServer,
        stage: Stage,
        *,
        user: str = "admin",
        transport: httpx.AsyncBaseTransport | None = None,
        **settings: Any,
    ) -> None:
        self.api = Api(server.configuration(user), transport)
        self.world = World(self.api, (stage.namespace,))
        self.supervisor = Supervisor(self.api, self.world, quick(stage, **settings))
        self._stage = stage
        self._feed: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.world.start()
        self._feed = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        """What kopf does: tell of each ModelRollout that is there or changes."""
        known: dict[str, Object] = {}
        while True:
            try:
                listed = (await self._stage.api.list(ROLLOUT, self._stage.namespace))["items"]
            except (OSError, ApiError):
                await asyncio.sleep(0.1)
                continue
            now = {found["metadata"]["uid"]: found for found in listed}
            for uid, found in now.items():
                if (
                    known.get(uid, {}).get("metadata", {}).get("resourceVersion")
                    != found["metadata"]["resourceVersion"]
                ):
                    self.supervisor.seen("MODIFIED", found)
            for uid in set(known) - set(now):
                self.supervisor.seen("DELETED", known[uid])
            known = now
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        if self._feed is not None:
            self._feed.cancel()
            await asyncio.gather(self._feed, return_exceptions=True)
        await self.supervisor.stop()
        await self.world.stop()
        await self.api.close()


@asynccontextmanager
async def acting(server: ApiServer, stage: Stage, **settings: Any) -> AsyncGenerator[Replica]:
    """A controller at work."""
    replica = Replica(server, stage, **settings)
    await replica.start()
    try:
        yield replica
    finally:
        await replica.stop()


@asynccontextmanager
async def controlled(server: ApiServer, **settings: Any) -> AsyncGenerator[Stage]:
    """A stage with a controller at work."""
    async with staged(server) as stage, acting(server, stage, **settings):
        yield stage
