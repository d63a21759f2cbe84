"""One namespace of models, the controller that serves it, and a champion for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.conftest import PREFIX, make_namespace, slug
from tests.cluster.kube import Kube
from tests.cluster.predictors import Served, predictor
from tests.cluster.traffic import BODY, Traffic, failed
from tests.cluster.waiting import eventually

from .controller import Controller, Pods, Processes
from .rollout import Rollout


@pytest.fixture(scope="session")
def models(kube: Kube, seldon: None) -> Iterator[str]:
    """The namespace of all SeldonDeployments of these tests, restricted Pod Security enforced."""
    name = f"{PREFIX}-models"
    make_namespace(kube, name)
    yield name
    kube.delete("Namespace", None, name)


@pytest.fixture(scope="session")
def controller(
    kube: Kube, models: str, crds: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Controller]:
    """Both replicas, one acting. SERINUS_CONTROLLER=process runs them here, from the working tree."""
    if os.environ.get("SERINUS_CONTROLLER") == "process":
        made: Controller = Processes(kube, models, tmp_path_factory.mktemp("controller"))
        made.start()
        yield made
        forgotten(kube, models)
        made.stop()
        return
    system = f"{PREFIX}-system"
    make_namespace(kube, system)
    made = Pods(kube, models, system)
    try:
        made.start()
        yield made
        forgotten(kube, models)
        made.stop()
    finally:
        kube.delete("Namespace", None, system)


def forgotten(kube: Kube, models: str) -> None:
    """Wait until the controller let go of what tests deleted, or its finalizer would keep the namespace for ever."""
    eventually(lambda: not kube.list("ModelRollout", models), 180, what="no ModelRollout is left")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """The SeldonDeployment's and the ModelRollout's, after the test."""
    return slug(request).removeprefix("a-canary-that-")[:32].strip("-")


@pytest.fixture
def fraud(kube: Kube, models: str, name: str) -> Iterator[Served]:
    """A champion ``a`` that answers everything, through the gateway; removed at the end."""
    served = Served(kube, models, name)
    served.create(predictor("a", 100, target=name))
    answers(served)
    yield served
    kube.delete("SeldonDeployment", models, name)


def answers(served: Served, body: Callable[[int], bytes] = lambda _: BODY) -> None:
    """Wait until the gateway knows the route and the champion answers."""
    eventually(lambda: sum(served.weights.values()) == 100, 240, what="the champion is routed")

    def all_well() -> bool:
        with Traffic(served.namespace, served.name, rate=100, limit=20, body=body) as traffic:
            traffic.join()
        return not failed(traffic.answers)

    eventually(all_well, 90, what="the gateway knows the route")


@pytest.fixture
def rollout(kube: Kube, models: str, name: str, controller: Controller) -> Iterator[Rollout]:
    """The test's ModelRollout, not yet started; what it and the controller said is shown if the test fails."""
    made = Rollout(kube, models, name)
    yield made
    if kube.get("ModelRollout", models, name) is not None:
        print(made.said)
        print(controller.logs())
        kube.delete("ModelRollout", models, name)
