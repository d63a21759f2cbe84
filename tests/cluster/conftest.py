"""What cluster tests stand on. Without a cluster they skip and say so; where ``CI=true`` that is a failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from . import node
from .kube import Kube, Obj
from .predictors import Served
from .waiting import eventually

# Of this run alone, so that several can share a cluster.
PREFIX = os.environ.get("SERINUS_TEST_PREFIX", f"serinus-{os.getpid()}")


def missing(reason: str) -> None:
    """There is no cluster to test on."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (and CI=true)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def kube() -> Kube:
    """The API server of a cluster that is up."""
    try:
        found = Kube(node.kubeconfig())
        found.list("Node")
    except Exception as error:
        missing(
            str(error) if isinstance(error, node.NoClusterError) else f"the cluster does not answer: {error}"
        )
        raise
    return found


@pytest.fixture(scope="session")
def istio(kube: Kube) -> str:
    """host:port of the gateway."""
    if kube.get("CustomResourceDefinition", None, "virtualservices.networking.istio.io") is None:
        missing("the cluster has no Istio: `cluster istio`")
    return node.GATEWAY


@pytest.fixture(scope="session")
def seldon(kube: Kube, istio: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Something reconciles SeldonDeployments in this run's namespaces."""
    if node.REAL_SELDON:
        if kube.get("CustomResourceDefinition", None, "seldondeployments.machinelearning.seldon.io") is None:
            missing("SERINUS_SELDON=real, but the cluster has no Seldon Core")
        yield
        return
    log = tmp_path_factory.mktemp("seldon") / "stand-in.log"
    command = [sys.executable, "-m", "tests.cluster.seldon", "--namespace", f"{PREFIX}-*"]
    environment = os.environ | {"KUBECONFIG": node.kubeconfig()}
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=node.ROOT, env=environment, stdout=out, stderr=out)
    try:
        eventually(lambda: "ready" in log.read_text(), 120, what="the stand-in for Seldon's operator")
        yield
        assert process.poll() is None, f"the stand-in ended by itself:\n{log.read_text()[-4000:]}"
    finally:
        process.terminate()
        process.wait(20)
        sys.stderr.write(_warnings(log))


def _warnings(log: Path) -> str:
    lines = [line for line in log.read_text().splitlines() if "ERROR" in line or "Traceback" in line]
    return "".join(f"stand-in: {line}\n" for line in lines[:20])


@pytest.fixture(scope="session")
def crds(kube: Kube) -> None:
    """Our resources are served."""
    for file in sorted((node.ROOT / "manifests/base/crds").glob("*.yaml")):
        for crd in filter(None, yaml.safe_load_all(file.read_text())):
            kube.apply(crd)
            crd_name = crd["metadata"]["name"]
            eventually(lambda name=crd_name: _established(kube, name), 120, what="our resources are served")


def _established(kube: Kube, name: str) -> bool:
    status = kube.must("CustomResourceDefinition", None, name).get("status") or {}
    return any(c["type"] == "Established" and c["status"] == "True" for c in status.get("conditions") or [])


def make_namespace(kube: Kube, name: str, enforce: str = "restricted") -> None:
    """A namespace whose pods must keep to a Pod Security standard."""
    labels = {"pod-security.kubernetes.io/enforce": enforce, "serinus.io/tests": PREFIX}
    body: Obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    if kube.delete("Namespace", None, name):
        # A run that was cut short left it.
        eventually(lambda: kube.get("Namespace", None, name) is None, 240, what=f"the old {name} is gone")
    kube.create(body)
    eventually(lambda: kube.get("ServiceAccount", name, "default"), what="the default service account")


def slug(request: pytest.FixtureRequest) -> str:
    """The test's name as Kubernetes takes names."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")


@pytest.fixture
def namespace(kube: Kube, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, with restricted Pod Security enforced; removed at its end."""
    name = f"{PREFIX}-{slug(request)}"[:60].strip("-")
    make_namespace(kube, name)
    yield name
    kube.delete("Namespace", None, name)


@pytest.fixture
def served(kube: Kube, namespace: str, seldon: None) -> Served:
    """The SeldonDeployment of the test, not yet created."""
    return Served(kube, namespace)
