"""From records in a bucket to an answer: every component in its own pod, and its bundle in a scorer's."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

import obstore
import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.training import STEPS
from serinus.bundle import SigningKey
from tests.cluster import node
from tests.cluster.kube import Kube
from tests.cluster.pipeline.ir import Obj, Run
from tests.cluster.pipeline.pods import LAUNCHER_SECRET, Cluster, Failed
from tests.cluster.predictors import RESTRICTED, RESTRICTED_POD, http_probe
from tests.cluster.waiting import eventually
from tests.support.kfp_server import KfpServer
from tests.support.s3 import S3Server, names
from tests.unit.components.support import loans, write_csv

pytestmark = pytest.mark.timeout(3000)
CONTRACT = """\
apiVersion: serinus.io/v1
kind: DataContract
name: loans
columns:
  income: {type: number, min: 0}
  debt: {type: number, missing: allow}
  purpose: {type: category}
  group: {type: category}
  bad: {type: category, missing: allow}
label: {column: bad, positive: Y}
features:
  - {name: income, column: income, monotone: -1, reason: Income is low}
  - {name: debt, column: debt, monotone: 1, reason: Debts are high}
  - {name: purpose, column: purpose, reason: The purpose}
decision: {decline_at: 0.5}
"""
BUCKET = "models"


class Place(NamedTuple):
    """A namespace with its secrets, and the bucket."""

    namespace: str
    bucket: Any
    keys: Path


@pytest.fixture
def place(kube: Kube, namespace: str, store: S3Server, tmp_path: Path) -> Place:
    def secret(name: str, **values: str) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        meta = {"name": name, "namespace": namespace}
        kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})

    environment = store.environment()
    secret(LAUNCHER_SECRET, endpoint=store.url, key="launcher", secret="launcher")
    secret("models-s3", **environment)
    SigningKey.load_or_create(tmp_path / "keys")
    secret("models-key", **{"signing.pem": (tmp_path / "keys" / "signing.pem").read_text()})
    (public,) = (tmp_path / "keys").glob("trusted-*.pem")
    kube.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "models-trusted", "namespace": namespace},
            "data": {public.name: public.read_text()},
        }
    )
    return Place(namespace, store.bucket(BUCKET), tmp_path / "keys")


def serinus(*arguments: str) -> dict[str, Any]:
    """``serinus pipeline …``; its JSON."""
    done = CliRunner().invoke(app, [*arguments, "--output", "json"])
    assert done.exit_code == 0, done.stdout + done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def submitted(image: str, tmp_path: Path) -> tuple[Path, Obj]:
    """Compile by digest, submit to a KFP server: what it was given to run, and with which parameters."""
    (tmp_path / "loans.yaml").write_text(CONTRACT)
    (tmp_path / "model.yaml").write_text("training: {rounds: 40, folds: 3}\nowner: credit\n")
    compiled = tmp_path / "pipeline.yaml"
    small = [part for step in STEPS for part in ("--resources", f"{step}=500m/1Gi")]
    serinus(
        "compile", "--image", image, "-o", str(compiled), "--bundles", f"s3://{BUCKET}/bundles", "--s3-secret",
        "models-s3", "--signing-secret", "models-key", *small,
    )  # fmt: skip
    server = KfpServer()
    try:
        told = serinus(
            "submit", "--host", server.url, "--pipeline", str(compiled), "--contract", str(tmp_path / "loans.yaml"),
            "--config", str(tmp_path / "model.yaml"), "--data", f"s3://{BUCKET}/records/loans.csv", "--as", "ann",
        )  # fmt: skip
        (run,) = server.runs
        published = tmp_path / "published.yaml"
        published.write_bytes(server.uploads[told["submitted"][0]["version"]])
        return published, run["runtime_config"]["parameters"]
    finally:
        server.close()


def test_the_bundle_that_comes_out_of_the_pipelines_pods_is_the_one_that_answers(
    kube: Kube, place: Place, store: S3Server, pipeline_image: str, tmp_path: Path
) -> None:
    obstore.put(place.bucket, "records/loans.csv", write_csv(tmp_path / "loans.csv", loans()))
    published, parameters = submitted(pipeline_image, tmp_path)
    run = Run.of(published, parameters, f"s3://{BUCKET}/artefacts")

    def read(uri: str) -> bytes:
        return bytes(obstore.get(place.bucket, uri.removeprefix(f"s3://{BUCKET}/")).bytes())

    cluster = Cluster(kube, place.namespace, read)
    for task in run.order():
        cluster.run(run, task)
    assert set(cluster.pods) == set(STEPS)
    for task, pod in cluster.pods.items():
        (status,) = pod["status"]["containerStatuses"]
        assert status["imageID"].endswith(pipeline_image.partition("@")[2]), f"{task} ran {status['imageID']}"

    told = json.loads(read(run.made["register"]["version"]["uri"]))
    digest = told["digest"].removeprefix("sha256:")
    assert told["uri"] == f"s3://{BUCKET}/bundles/{digest}"
    assert f"bundles/{digest}/manifest.json" in names(place.bucket)
    provenance = json.loads(read(f"{told['uri']}/provenance.json"))
    assert provenance["code"] == {"image": pipeline_image}
    assert json.loads(run.made["register"]["version"]["metadata"]["summary"])["uri"] == told["uri"]

    # Another pod, another empty home, another signing of the same: the same bundle, found in its place.
    before = {name: read(f"s3://{BUCKET}/{name}") for name in names(place.bucket, "bundles")}
    cluster.run(run, "register", attempt="2")
    assert json.loads(read(run.made["register"]["version"]["uri"]))["digest"] == told["digest"]
    assert {name: read(f"s3://{BUCKET}/{name}") for name in names(place.bucket, "bundles")} == before

    # A verdict stops the run with its numbers.
    with pytest.raises(Failed, match=r"SRN-GATE-001") as stopped:
        cluster.run(run, "gate", attempt="2", config='{"metrics": [{"metric": "auc", "min": 0.999}]}')
    assert "auc" in stopped.value.log

    answered(kube, place, told)


def scorer(namespace: str, uri: str, digest: str, name: str = "loans") -> Obj:
    """A scorer whose bundle an init container fetches, as the model chart has it; everything read-only."""
    keys = {"name": "keys", "mountPath": "/etc/serinus/keys", "readOnly": True}
    image = {"image": node.image("scorer"), "imagePullPolicy": "IfNotPresent", "securityContext": RESTRICTED}
    resources = {"resources": {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}}
    fetch: Obj = {
        "name": "bundle",
        "command": ["python3", "-m", "serving.scorer.fetch"],
        "env": [
            {"name": "SERINUS_BUNDLE_URI", "value": uri},
            {"name": "SERINUS_BUNDLE_DIGEST", "value": digest},
        ],
        "envFrom": [{"secretRef": {"name": "models-s3"}}],
        "volumeMounts": [{"name": "bundle", "mountPath": "/mnt/bundle"}, keys],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    serve: Obj = {
        "name": "scorer",
        "args": [
            "--bundle=/mnt/bundle",
            "--home=/var/lib/serinus",
            "--keys=/etc/serinus/keys",
            "--model=loans",
        ],
        "readinessProbe": http_probe("/ready"),
        "volumeMounts": [
            {"name": "bundle", "mountPath": "/mnt/bundle", "readOnly": True},
            keys,
            {"name": "home", "mountPath": "/var/lib/serinus"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": RESTRICTED_POD,
            "initContainers": [image | resources | fetch],
            "containers": [image | resources | serve],
            "volumes": [
                *({"name": each, "emptyDir": {}} for each in ("bundle", "home", "tmp")),
                {"name": "keys", "configMap": {"name": "models-trusted"}},
            ],
        },
    }


def answered(kube: Kube, place: Place, told: Obj) -> None:
    """A scorer with that bundle answers; one that asks for another digest never starts, and says why."""
    kube.create(scorer(place.namespace, told["uri"], told["digest"]))
    kube.create(scorer(place.namespace, told["uri"], "sha256:" + "0" * 64, name="other"))

    def ready() -> bool:
        found = kube.must("Pod", place.namespace, "loans")
        assert found["status"]["phase"] != "Failed", found["status"]
        return any(
            c["type"] == "Ready" and c["status"] == "True" for c in found["status"].get("conditions", ())
        )

    eventually(ready, 300, what="the scorer's readiness")
    path = f"/api/v1/namespaces/{place.namespace}/pods/loans:9000/proxy/api/v1.0/predictions"
    record = {"income": 20.0, "debt": 2.5, "purpose": "car"}
    answer = kube.call("POST", path, {"jsonData": {"records": [record]}}, stream=True)
    body = json.loads(answer.data)
    assert answer.headers["x-serinus-digest"] == told["digest"]
    (score,) = body["data"]["ndarray"][0]
    assert 0.5 < score < 1, body
    assert body["meta"]["tags"]["decisions"][0]["decision"] == "decline", body

    def refused() -> str:
        found = kube.must("Pod", place.namespace, "other")
        assert found["status"]["phase"] == "Failed", found["status"]
        return found["status"]["initContainerStatuses"][0]["state"]["terminated"]["message"]

    assert "SRN-BUNDLE-008" in eventually(refused, 180, what="the refusal of another digest")
