"""A change of routes on Kubernetes: what is written, in which order, and who else may have written."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from msgspec.structs import replace

from serinus.kube.api import ApiError
from serving.rollout.engine import new_status
from serving.rollout.kube.hands import Hands, another_hand, own_predictors
from serving.rollout.kube.names import DEPLOYMENT, FIELD_MANAGER, SELDON, SLICE, VIRTUAL_SERVICE, Kind
from serving.rollout.kube.ports import Cluster, SeldonPredictors
from serving.rollout.kube.resource import Candidate, ModelRolloutSpec
from serving.rollout.kube.subject import Scene, Subject
from serving.rollout.kube.traffic import Pace, SeldonTraffic
from serving.rollout.status import Phase, RolloutStatus, Routes

pytestmark = pytest.mark.anyio

Object = dict[str, Any]
HOME, SPLIT = Routes(stable="a"), Routes(stable="a", canary="b", weight=10)
PACE = Pace(settle=2.0, drain=5.0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def predictor(name: str, traffic: int = 0, **more: Any) -> Object:
    return {"name": name, "traffic": traffic, "graph": {"name": "scorer"}} | more


def owned_by(manager: str, field: str = "f:predictors") -> Object:
    return {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {field: {}}}}


class Fraud:
    """The SeldonDeployment of that name, its routes and Deployments, as the API server and the watches tell of them."""

    def __init__(self, a: int, b: int, **more: Any) -> None:
        self.generation = 1
        self.predictors = [predictor("a", a), predictor("b", b, **more)]
        self.owner = FIELD_MANAGER
        self.live = {"a": a, "b": b}
        self.missing: set[str] = set()  # predictors of which a pod is missing
        self.unlisted: set[str] = set()  # predictors whose endpoints nobody was told of yet
        self.told: Object | None = None  # what the watch says, if it is behind
        self.faster: list[Object] | None = None  # what another hand writes before we can

    # --- the API ---

    async def find(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        return copy.deepcopy(self.deployment if kind == SELDON else self.service)

    async def apply(self, kind: Kind, namespace: str, name: str, body: Object) -> Object:
        if self.faster is not None:
            self.hand(self.faster)
            self.faster = None
            raise ApiError(409, "Conflict", "the object has been modified")
        self.predictors, self.owner = body["spec"]["predictors"], FIELD_MANAGER
        self.generation += 1
        return self.deployment

    def hand(self, predictors: list[Object]) -> None:
        self.predictors, self.owner = predictors, "kubectl-edit"
        self.generation += 1

    # --- the watches ---

    def of(self, kind: Kind, namespace: str, owner: str) -> list[Object]:
        if kind == SELDON:
            return [self.told or self.deployment]
        if kind == VIRTUAL_SERVICE:
            return [self.service]
        if kind == DEPLOYMENT:
            return [self.workload(p["name"]) for p in self.predictors]
        if kind == SLICE:
            return [
                {
                    "metadata": {"labels": {"kubernetes.io/service-name": f"fraud-{p['name']}"}},
                    "endpoints": [
                        {"addresses": ["10.0.0.1"], "conditions": {"ready": p["name"] not in self.unlisted}}
                    ],
                }
                for p in self.predictors
            ]
        return []

    def age(self) -> float:
        return 0.0

    @property
    def deployment(self) -> Object:
        return {
            "metadata": {
                "name": "fraud",
                "uid": "u",
                "resourceVersion": str(self.generation),
                "generation": self.generation,
                "managedFields": [owned_by(self.owner)],
            },
            "spec": {"predictors": self.predictors},
        }

    @property
    def service(self) -> Object:
        route = [{"destination": {"host": f"fraud-{name}.ns"}, "weight": w} for name, w in self.live.items()]
        return {"spec": {"http": [{"route": route}]}}

    def workload(self, name: str) -> Object:
        complete = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
        status: Object = {"observedGeneration": 1, "availableReplicas": 1, "readyReplicas": 1}
        status["conditions"] = [complete]
        if name in self.missing:
            status |= {"unavailableReplicas": 1}
        labels = {"seldon-app": f"fraud-{name}"}
        return {"metadata": {"name": name, "generation": 1, "labels": labels}, "spec": {}, "status": status}

    @property
    def split(self) -> dict[str, int]:
        return {p["name"]: p["traffic"] for p in self.predictors}


class World:
    """A traffic port over it, in mid-rollout, or on its way back to the champion."""

    def __init__(self, cluster: Fraud, *, going: bool = False) -> None:
        spec = ModelRolloutSpec(target="fraud", candidate=Candidate(predictor=predictor("b")))
        subject = Subject(uid="u", champion=predictor("a", 100))
        scene = Scene(namespace="ns", name="fraud-4", uid="r", spec=spec, subject=subject)
        status = new_status(spec.rollout("a"), name="r", champion="a", candidate="b", by="ann", now=0.0)
        self.status: RolloutStatus = replace(
            status,
            phase=Phase.ROLLING_BACK if going else Phase.PROGRESSING,
            ending=Phase.ROLLED_BACK if going else None,
            step=0,
            desired=HOME if going else SPLIT,
            decided_at=100.0,
        )
        self.now = 100.0
        self.cluster = cluster
        self.made = Cluster(cluster, cluster, scene)  # type: ignore[arg-type]
        self.traffic = SeldonTraffic(self.made, lambda: self.status, PACE, lambda: self.now)

    async def look(self) -> tuple[str, str]:
        seen = await self.traffic.read_back(self.status.desired)
        if seen.edit:
            self.status = replace(self.status, last_edit=seen.edit)
        return seen.state, seen.edit


# --- the way back ---------------------------------------------------------------


async def test_a_candidate_loses_its_requests_first_and_keeps_its_place() -> None:
    world = World(Fraud(90, 10), going=True)
    await world.traffic.apply(HOME)
    assert world.cluster.split == {"a": 100, "b": 0}
    assert (await world.look())[0] == "not_yet"
    world.cluster.live = {"a": 100, "b": 0}
    seen = await world.traffic.read_back(HOME)
    assert (seen.state, seen.settle) == ("verified", PACE.settle)
    world.now += 60
    await world.traffic.apply(HOME)  # asked for again, as after a change by another hand
    assert "b" not in world.cluster.split


@pytest.mark.parametrize("missing", ["a", "b"])
async def test_if_seldon_would_not_move_a_weight_it_is_removed_at_once(missing: str) -> None:
    world = World(Fraud(90, 10), going=True)
    world.cluster.missing.add(missing)
    await world.traffic.apply(HOME)
    assert world.cluster.split == {"a": 100}


async def test_one_that_fails_while_it_loses_its_requests_is_removed_then() -> None:
    world = World(Fraud(90, 10), going=True)
    await world.traffic.apply(HOME)
    world.cluster.missing.add("b")
    await world.traffic.apply(HOME)
    assert world.cluster.split == {"a": 100}


async def test_nobody_waits_for_seldon_for_longer_than_the_pace_allows() -> None:
    world = World(Fraud(90, 10), going=True)
    for seconds, kept in ((0.0, True), (PACE.drain - 0.1, True), (PACE.drain, False)):
        world.now = 100.0 + seconds
        await world.traffic.apply(HOME)
        assert ("b" in world.cluster.split) == kept, seconds


async def test_a_shadow_is_missed_by_nobody() -> None:
    world = World(Fraud(100, 10, shadow=True), going=True)
    await world.traffic.apply(HOME)
    assert world.cluster.split == {"a": 100}


async def test_once_it_is_removed_neither_route_nor_endpoint_may_be_left() -> None:
    world = World(Fraud(100, 0), going=True)
    assert (await world.look())[0] == "verified"
    world.cluster.predictors = [predictor("a", 100)]
    seen = await world.traffic.read_back(HOME)
    assert (seen.state, "a route still names fraud-b" in seen.detail) == ("not_yet", True)
    world.cluster.live = {"a": 100}
    assert (await world.look())[0] == "verified"


# --- the way in -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "unlisted", "state"),
    [("b", {"b"}, "starting"), ("b", set[str](), "ready"), ("a", {"a", "b"}, "ready")],
)
async def test_a_candidate_is_ready_once_its_endpoints_are_told_of(
    name: str, unlisted: set[str], state: str
) -> None:
    """A complete Deployment is not enough: Seldon would route to it, and Istio to nobody."""
    world = World(Fraud(100, 0))
    world.cluster.unlisted = unlisted
    health = await SeldonPredictors(world.made).health(name)
    assert (health.state, health.answering) == (state, True)
    assert ("service fraud-b has no ready endpoint" in health.detail) == (state == "starting")


# --- other hands ----------------------------------------------------------------

SWAPPED = [predictor("a", 20), predictor("b", 80)]


async def test_an_edit_found_by_a_conflict_is_told_before_it_is_overwritten() -> None:
    world = World(Fraud(100, 0))
    world.traffic._hands.agree(HOME)
    world.cluster.told = world.cluster.deployment  # the watch is behind for all that follows
    world.cluster.faster = SWAPPED
    await world.traffic.apply(SPLIT)
    await world.traffic.apply(SPLIT)
    assert world.cluster.split == {"a": 20, "b": 80}
    assert await world.look() == ("not_yet", "generation 2")
    await world.traffic.apply(SPLIT)
    assert world.cluster.split == {"a": 90, "b": 10}


async def test_an_edit_between_our_write_and_our_look_is_one() -> None:
    world = World(Fraud(100, 0))
    await world.traffic.apply(SPLIT)
    world.cluster.hand([predictor("a", 100), predictor("b", 0)])  # even if it only undoes ours
    assert await world.look() == ("not_yet", "generation 3")


async def test_a_successor_knows_it_too() -> None:
    world = World(Fraud(90, 10))
    world.cluster.hand(SWAPPED)
    assert (await world.look())[1] == "generation 2"


async def test_what_we_have_not_written_yet_is_no_edit() -> None:
    world = World(Fraud(100, 0))
    assert await world.look() == ("not_yet", "")


async def test_an_edit_of_something_else_is_no_edit_of_the_routes() -> None:
    world = World(Fraud(100, 0))
    world.status = replace(world.status, desired=HOME)
    world.cluster.hand([predictor("a", 100, replicas=3), predictor("b", 0)])
    assert await world.look() == ("verified", "")
    world.status = replace(world.status, desired=SPLIT)
    assert await world.look() == ("not_yet", "")
    await world.traffic.apply(SPLIT)
    assert world.cluster.split == {"a": 90, "b": 10}


async def test_a_rollback_does_not_wait_until_it_was_told() -> None:
    world = World(Fraud(90, 10), going=True)
    world.cluster.told = world.cluster.deployment
    world.cluster.hand(SWAPPED)
    await world.traffic.apply(HOME)
    assert world.cluster.split == {"a": 100, "b": 0}


def test_before_the_candidate_is_there_nobody_is_an_intruder() -> None:
    found: Object = {
        "metadata": {"generation": 4, "managedFields": [owned_by("helm")]},
        "spec": {"predictors": []},
    }
    assert another_hand(found, "b") == ""
    found["spec"] = {"predictors": [predictor("b")]}
    assert another_hand(found, "b") == "generation 4"
    found["metadata"]["managedFields"].append(owned_by(FIELD_MANAGER))
    assert another_hand(found, "b") == ""


def test_only_who_owns_the_predictors_is_kept() -> None:
    fields = [owned_by("seldon", "f:status"), owned_by("helm"), {"manager": "x"}]
    kept = own_predictors({"metadata": {"managedFields": fields}})
    assert [one["manager"] for one in kept] == ["helm"]
    assert own_predictors({"metadata": {"managedFields": kept}}) == kept
    assert own_predictors({}) == []


def test_hands_remember_only_what_was_agreed() -> None:
    hands = Hands("a", "b")
    found = {
        "metadata": {"generation": 4, "managedFields": [owned_by("helm")]},
        "spec": {"predictors": [predictor("a", 100), predictor("b", 0)]},
    }
    assert hands.edit(found, SPLIT, removing=False) == "generation 4"  # right after a restart
    hands.agree(HOME)
    assert hands.edit(found, SPLIT, removing=False) == ""
    hands.wrote(SPLIT)
    assert hands.edit(found, SPLIT, removing=False) == "generation 4"
