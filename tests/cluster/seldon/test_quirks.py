"""What rollouts stand on, beyond the recorded states: the gate before routing, and the ways of being wrong."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.cluster.kube import Obj

from .memory import Memory
from .model import read
from .objects import make
from .reconcile import reconcile


def predictor(name: str, traffic: int = 0, **more: Any) -> Obj:
    container = {"name": "scorer", "image": more.pop("image", "scorer:1")}
    sidecar = {"name": "drift", "image": "drift:1", "env": [{"name": "A", "value": "b"}]}
    component = {"metadata": {"name": f"fraud-{name}"}, "spec": {"containers": [container, sidecar]}}
    return {
        "name": name,
        "annotations": {"seldon.io/no-engine": "true", "version": name},
        "graph": {"name": "scorer", "type": "MODEL"},
        "componentSpecs": [component | more.pop("component", {})],
        "replicas": 1,
        "traffic": traffic,
    } | more


def deployment(*predictors: Obj) -> Obj:
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": "fraud", "namespace": "models", "uid": "u", "generation": 1},
        "spec": {"predictors": list(predictors)},
    }


class World(Memory):
    """The API server in memory, and the Deployment controller at the test's word."""

    def passes(self, count: int = 4) -> None:
        for _ in range(count):
            reconcile(self, "models", "fraud", lambda: "now")

    def edit(self, *predictors: Obj) -> None:
        self.objects["SeldonDeployment", "fraud"]["spec"]["predictors"] = list(predictors)

    def pods(self, predictor: str, ready: bool) -> None:
        for (kind, name), obj in self.objects.items():
            if kind == "Deployment" and name.startswith(f"fraud-{predictor}-"):
                available = {"type": "Available", "status": str(ready), "reason": "R", "message": "m"}
                obj["status"] = {"replicas": 1, "conditions": [available]} | (
                    {"readyReplicas": 1, "availableReplicas": 1} if ready else {"unavailableReplicas": 1}
                )

    def weights(self) -> dict[str, int]:
        service = self.objects.get(("VirtualService", "fraud"))
        routes = service["spec"]["http"][0]["route"] if service else []
        return {route["destination"]["subset"]: route.get("weight", 0) for route in routes}

    @property
    def state(self) -> str:
        return self.objects["SeldonDeployment", "fraud"]["status"]["state"]

    def named(self, kind: str) -> list[str]:
        return sorted(name for of, name in self.objects if of == kind)


@pytest.fixture
def world() -> World:
    """A champion that answers everything."""
    made = World([deployment(predictor("a", 100))])
    made.passes(1)
    made.pods("a", ready=True)
    made.passes()
    assert (made.weights(), made.state) == ({"a": 100}, "Available")
    return made


def test_nothing_is_routed_before_the_first_predictor_is_ready() -> None:
    world = World([deployment(predictor("a", 100))])
    world.passes()
    assert (world.weights(), world.state) == ({}, "Creating")


def test_no_weight_changes_while_any_predictor_is_not_ready(world: World) -> None:
    world.edit(predictor("a", 90), predictor("b", 10))
    world.passes()
    world.pods("b", ready=True)
    world.passes()
    assert world.weights() == {"a": 90, "b": 10}
    world.pods("b", ready=False)
    world.edit(predictor("a", 100), predictor("b", 0))
    world.passes()
    assert (world.weights(), world.state) == ({"a": 90, "b": 10}, "Creating")


def test_removing_the_predictor_routes_around_it_first_and_then_ends_its_pods(world: World) -> None:
    world.edit(predictor("a", 90), predictor("b", 10))
    world.passes(1)
    world.pods("b", ready=False)
    world.edit(predictor("a", 100))
    before = len(world.calls)
    world.passes()
    assert world.weights() == {"a": 100}
    calls = [call for call in world.calls[before:] if not call.startswith("status")]
    assert calls == ["delete Deployment fraud-b-0-fraud-b"]
    world.finish_deletions()
    world.passes()
    assert world.named("Deployment") == ["fraud-a-0-fraud-a"]
    assert world.named("Service") == ["fraud-a", "fraud-a-scorer"]


def test_a_destination_rule_stays_for_ever(world: World) -> None:
    world.edit(predictor("a", 90), predictor("b", 10))
    world.passes(1)
    world.pods("b", ready=True)
    world.passes()
    world.edit(predictor("a", 100))
    for _ in range(3):
        world.passes()
        world.finish_deletions()
    assert world.named("DestinationRule") == ["fraud-a", "fraud-b"]


@pytest.mark.parametrize(("one", "other"), [(90, 90), (0, 0), (7, 0), (100, 100)])
def test_weights_are_taken_as_they_are(world: World, one: int, other: int) -> None:
    world.edit(predictor("a", one), predictor("b", other))
    world.passes(1)
    world.pods("b", ready=True)
    world.passes()
    assert world.weights() == {"a": one, "b": other}


def test_the_old_pods_pass_for_the_new_ones_right_after_a_change(world: World) -> None:
    world.edit(predictor("a", 100, image="scorer:2", labels={"note": "new"}))
    world.passes()
    live = world.objects["Deployment", "fraud-a-0-fraud-a"]
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "scorer:2"
    assert (world.state, "observedGeneration" in live["status"]) == ("Available", False)


def test_a_deployment_that_gave_up_makes_the_state_failed(world: World) -> None:
    world.edit(predictor("a", 90), predictor("b", 10, progressDeadlineSeconds=30))
    world.passes(1)
    world.pods("b", ready=False)
    obj = world.objects["Deployment", "fraud-b-0-fraud-b"]
    obj["status"]["conditions"].append({"type": "Progressing", "status": "False"})
    world.passes()
    assert (obj["spec"]["progressDeadlineSeconds"], world.state, world.weights()) == (
        30,
        "Failed",
        {"a": 100},
    )


def test_changes_by_hand_to_what_it_made_are_undone(world: World) -> None:
    live = world.objects["Deployment", "fraud-a-0-fraud-a"]
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "other:1"
    world.objects["VirtualService", "fraud"]["spec"]["http"][0]["route"][0]["weight"] = 3
    world.passes()
    made = world.objects["Deployment", "fraud-a-0-fraud-a"]
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == "scorer:1"
    assert world.weights() == {"a": 100}


def test_what_a_scaler_set_is_kept(world: World) -> None:
    scaled = {"hpaSpec": {"minReplicas": 1, "maxReplicas": 4}, "pdbSpec": {"minAvailable": 1}}
    given = predictor("a", 100)
    given["componentSpecs"][0] |= scaled
    world.edit(given)
    world.passes()
    world.objects["Deployment", "fraud-a-0-fraud-a"]["spec"]["replicas"] = 3
    world.passes()
    assert world.objects["Deployment", "fraud-a-0-fraud-a"]["spec"]["replicas"] == 3
    scaler = world.objects["HorizontalPodAutoscaler", "fraud-a-0-fraud-a"]["spec"]
    assert (scaler["scaleTargetRef"]["name"], scaler["maxReplicas"]) == ("fraud-a-0-fraud-a", 4)
    budget = world.objects["PodDisruptionBudget", "fraud-a-0-fraud-a"]["spec"]
    assert budget == {"selector": {"matchLabels": {"seldon-deployment-id": "fraud"}}, "minAvailable": 1}


def test_another_container_of_the_graph_replaces_the_deployment(world: World) -> None:
    given = predictor("a", 100)
    given["componentSpecs"][0]["spec"]["containers"][0]["name"] = "other"
    given["graph"]["name"] = "other"
    world.edit(given)
    world.passes(1)
    assert "deletionTimestamp" in world.objects["Deployment", "fraud-a-0-fraud-a"]["metadata"]
    world.finish_deletions()
    world.passes(1)
    selector = world.objects["Deployment", "fraud-a-0-fraud-a"]["spec"]["selector"]["matchLabels"]
    assert "seldon-app-svc-other" in selector


def test_a_deployment_of_another_name_takes_over_only_when_it_is_ready(world: World) -> None:
    given = predictor("a", 100)
    del given["componentSpecs"][0]["metadata"]
    world.edit(given)
    world.passes()
    assert world.named("Deployment") == ["fraud-a-0-fraud-a", "fraud-a-0-scorer-drift"]
    assert "deletionTimestamp" not in world.objects["Deployment", "fraud-a-0-fraud-a"]["metadata"]
    world.pods("a", ready=True)
    world.passes()
    world.finish_deletions()
    assert world.named("Deployment") == ["fraud-a-0-scorer-drift"]


def test_without_the_executor_the_service_leads_to_the_model() -> None:
    made = make(read(deployment(predictor("a", 100), predictor("b", 0))))
    services = {
        obj["metadata"]["name"]: [port["port"] for port in obj["spec"]["ports"]] for obj in made.services
    }
    assert services["fraud-a"] == services["fraud-b"] == [9000, 9500]
    pods = [obj["spec"]["template"]["spec"]["containers"] for obj in made.deployments]
    assert [[container["name"] for container in pod] for pod in pods] == [["scorer", "drift"]] * 2
    # Metrics ports are counted over all containers of all predictors, sidecars too.
    assert [pod[0]["ports"][0]["containerPort"] for pod in pods] == [6000, 6002]


def test_a_sidecar_is_passed_on_untouched() -> None:
    given = predictor("a")["componentSpecs"][0]["spec"]["containers"][1]
    (made,) = make(read(deployment(predictor("a")))).deployments
    sidecar = made["spec"]["template"]["spec"]["containers"][1]
    assert sidecar == given | {"resources": {}}


def test_what_is_set_already_is_kept() -> None:
    given = predictor("a")
    pod = given["componentSpecs"][0]["spec"]
    pod |= {"terminationGracePeriodSeconds": 45, "securityContext": {"runAsNonRoot": True}}
    own: Obj = {
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 9000}},
        "livenessProbe": {"httpGet": {"path": "/live", "port": 9000}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "env": [{"name": "PREDICTIVE_UNIT_ID", "value": "mine"}],
    }
    pod["containers"][0] |= deepcopy(own)
    (made,) = make(read(deployment(given))).deployments
    spec = made["spec"]["template"]["spec"]
    assert (spec["terminationGracePeriodSeconds"], spec["securityContext"]) == (45, {"runAsNonRoot": True})
    container = spec["containers"][0]
    assert {key: container[key] for key in own if key != "env"} == {
        key: own[key] for key in own if key != "env"
    }
    assert [item["value"] for item in container["env"] if item["name"] == "PREDICTIVE_UNIT_ID"] == ["mine"]


def test_a_name_that_is_too_long_is_hashed() -> None:
    (made,) = make(read(deployment(predictor("p-" + "x" * 60)))).deployments
    assert made["metadata"]["name"].startswith("seldon-")
    assert len(made["metadata"]["name"]) == len("seldon-") + 32


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"graph": {"name": "scorer", "modelUri": "s3://a/b"}}, "modelUri"),
        ({"graph": {"name": "scorer", "implementation": "SKLEARN_SERVER"}}, "pre-packaged"),
        ({"graph": {"name": "nowhere"}}, "no container named nowhere"),
        ({"explainer": {"type": "AnchorTabular"}}, "explainer"),
    ],
)
def test_what_it_does_not_do_it_says(change: Obj, said: str) -> None:
    world = World([deployment(predictor("a", 100) | change)])
    world.passes(1)
    status = world.objects["SeldonDeployment", "fraud"]["status"]
    assert status["state"] == "Failed"
    assert said in status["description"]
