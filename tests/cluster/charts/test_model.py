"""charts/serinus-model on a cluster: from a bundle in S3 to an answer through the gateway."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from tests.cluster import node
from tests.cluster.kube import Kube, Obj
from tests.cluster.waiting import eventually
from tests.unit.scorer.support import GOOD, v1

from .conftest import Helm, Store

pytestmark = pytest.mark.timeout(900)


def _pods(kube: Kube, namespace: str) -> list[Obj]:
    return kube.list("Pod", namespace, "seldon-deployment-id=fraud")


def _ready(pod: Obj) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _said(kube: Kube, pod: Obj) -> str:
    told = [
        f"{status['name']}: {json.dumps(status.get('state'))}"
        for kind in ("initContainerStatuses", "containerStatuses")
        for status in pod["status"].get(kind, [])
    ]
    return f"{pod['metadata']['name']}: {'; '.join(told)}"


def _ask(namespace: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(node.GATEWAY, timeout=30)
    try:
        connection.request(
            "POST",
            f"/seldon/{namespace}/fraud/api/v1.0/predictions",
            json.dumps(v1(GOOD)),
            {"Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if answer.status == 200 else body
    finally:
        connection.close()


def _scrape(pod: Obj, port: int) -> str:
    connection = http.client.HTTPConnection(pod["status"]["podIP"], port, timeout=30)
    try:
        connection.request("GET", "/prometheus")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_a_model_is_installed_answers_and_is_not_replaced_by_an_upgrade(
    kube: Kube, namespace: str, seldon: None, helm: Helm, store: Store
) -> None:
    meta = {"namespace": namespace}
    kube.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {**meta, "name": "serinus-keys"},
            "data": store.keys,
        }
    )
    kube.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**meta, "name": "models-s3"},
            "stringData": store.environment,
        }
    )
    values = [
        f"bundle.uri={store.uri}",
        f"bundle.digest={store.bundle.digest}",
        "keys.configMap=serinus-keys",
        "storage.secret=models-s3",
        f"image.registry={node.PREFIX}",
        f"image.tag={node.TAG}",
        "replicas=1",
        "scorer.resources.requests.cpu=20m",
        "drift.resources.requests.cpu=20m",
    ]
    assert helm.upgrade("fraud", "serinus-model", *values) == ""

    def up() -> bool:
        found = _pods(kube, namespace)
        assert found, "no pod yet"
        assert _ready(found[0]), _said(kube, found[0])
        return True

    eventually(up, 300, what="the model's pod")
    (pod,) = _pods(kube, namespace)
    name = f"p-{store.bundle.digest.removeprefix('sha256:')[:10]}"
    assert pod["metadata"]["labels"]["version"] == name
    assert [one["name"] for one in pod["spec"]["containers"]] == ["scorer", "drift"]
    # No token of any account came in by itself.
    assert not [volume for volume in pod["spec"]["volumes"] if "projected" in volume]

    answers: list[Any] = []

    def answered() -> bool:
        status, answer = _ask(namespace)
        assert status == 200, answer
        answers.append(answer)
        return True

    eventually(answered, 180, what="an answer through the gateway")
    answer = answers[-1]
    assert answer["meta"]["tags"]["digest"] == store.bundle.digest
    assert answer["meta"]["tags"]["predictor"] == name

    # Metrics carry the model's name, not the graph node's; the sidecar has the payload.
    counted = f'serinus_requests_total{{code="200",model="fraud",predictor="{name}"}}'
    eventually(lambda: counted in _scrape(pod, 6000), what="the request is counted")
    eventually(lambda: f'predictor="{name}"' in _scrape(pod, 8090), what="the payload at the drift sidecar")

    # The same values again change nothing; another bundle is for a rollout to let in.
    version = kube.must("SeldonDeployment", namespace, "fraud")["metadata"]["resourceVersion"]
    generation = kube.must("SeldonDeployment", namespace, "fraud")["metadata"]["generation"]
    assert helm.upgrade("fraud", "serinus-model", *values) == ""
    assert kube.must("SeldonDeployment", namespace, "fraud")["metadata"]["generation"] == generation, version
    refused = helm.upgrade("fraud", "serinus-model", *values, f"bundle.digest=sha256:{'ab' * 32}")
    assert f"serves {name}, and bundle.digest names p-ababababab" in refused
    assert _ask(namespace)[0] == 200

    budget = kube.must("PodDisruptionBudget", namespace, "fraud")
    assert budget["spec"]["selector"]["matchLabels"] == {"seldon-deployment-id": "fraud"}
    assert helm.run("uninstall", "fraud").returncode == 0
    eventually(lambda: not _pods(kube, namespace), 180, what="the pods' end")
