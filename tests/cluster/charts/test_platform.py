"""charts/serinus on a cluster: two controllers of which one acts, and the receiver, as the chart installs them."""

from __future__ import annotations

import http.client
import json
import os
import subprocess

import pytest

from tests.cluster import node
from tests.cluster.kube import Kube, Obj
from tests.cluster.waiting import eventually

from .conftest import Helm


@pytest.fixture(scope="module")
def definitions(kube: Kube) -> None:
    """Our CRDs, which a cluster has once however many releases there are."""
    path = str(node.ROOT / "charts/tools.sh")
    kubectl = subprocess.run([path, "path"], capture_output=True, text=True, check=True).stdout.strip()
    for file in sorted((node.ROOT / "manifests/base/crds").glob("*.yaml")):
        done = subprocess.run(
            [
                *("kubectl", "--kubeconfig", node.kubeconfig(), "apply", "--server-side"),
                *("--force-conflicts", "-f", str(file)),
            ],
            env=os.environ | {"PATH": kubectl},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def _get(pod: Obj, port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(pod["status"]["podIP"], port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_the_platform_is_installed_and_leaves_nothing(
    kube: Kube, namespace: str, definitions: None, helm: Helm
) -> None:
    values = [
        f"image.registry={node.PREFIX}",
        f"image.tag={node.TAG}",
        # Of the whole cluster, and therefore not a test's to change.
        "crds.install=false",
        "admission.enabled=false",
        "rbac.userRoles=false",
        f"watchNamespaces={{{namespace}}}",
        "monitoring.operator=never",
        # The test cluster makes no volumes.
        "retrain.persistence.enabled=false",
        "controller.resources.requests.cpu=20m",
    ]
    assert helm.upgrade("serinus", "serinus", *values, wait=True) == ""

    pods = kube.list("Pod", namespace, "app.kubernetes.io/component=controller")
    assert len(pods) == 2
    for pod in pods:
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
        # One that waits for the lease is ready, and again once it leads and watches everything.
        eventually(lambda pod=pod: _get(pod, 8080, "/readyz")[0] == 200, what="it is ready")

    def leader() -> str:
        lease = kube.get("Lease", namespace, "serinus-rollout")
        assert lease, "no lease yet"
        return lease["spec"]["holderIdentity"]

    holder = eventually(leader, 120, what="a leader")
    assert any(holder.startswith(pod["metadata"]["name"]) for pod in pods), holder

    (receiver,) = kube.list("Pod", namespace, "app.kubernetes.io/component=retrain")
    status, body = _get(receiver, 8080, "/status")
    assert status == 200, body
    json.loads(body)

    assert helm.run("uninstall", "serinus", "--wait").returncode == 0
    for kind in ("Deployment", "Service", "Role", "RoleBinding", "NetworkPolicy", "PodDisruptionBudget"):
        assert kube.list(kind, namespace) == [], kind
