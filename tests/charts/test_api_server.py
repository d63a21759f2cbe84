"""A real API server takes every object, and its own schemas know every field of them.

The server is one without nodes; it is given our CRDs, the Prometheus operator's, and the
SeldonDeployment as far as the cluster tests know it.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .openapi import schemas
from .server import Cluster
from .support import FRAUD, ROOT, VERSIONS, Obj, manifests, model, platform

TOOLS = ("kubectl", "kubeconform")


def everything() -> dict[str, list[Obj]]:
    """What is rendered, by how."""
    made = {
        "defaults": [*platform(operator=True), *model()],
        "records": platform("records.enabled=true"),
        "versions over the network": platform(*VERSIONS, operator=True),
        "one namespace": platform("watchNamespaces={fraud}", "retrain.kfp.tokenAudience=kfp"),
        "executor and HPA": model(
            *("executor=true", "autoscaling.enabled=true", "istio.gateway=mesh", "istio.mutualTLS=true")
        ),
        "mesh": model(
            *("istio.mutualTLS=true", "monitor.enabled=true", "outcomes.enabled=true"),
            "istio.labelSenders={cluster.local/ns/disputes/sa/labels}",
        ),
        "watched": model("monitor.enabled=true", "outcomes.enabled=true", "outcomes.floors.precision=0.6"),
        "watched, without sidecars": model(
            *("monitor.enabled=true", "drift.enabled=false", "outcomes.enabled=true"),
            *("decisions.existingClaim=decisions", "outcomes.persistence.existingClaim=mine"),
            *("privacy.existingClaim=subjects", "privacy.masterKeySecret=master"),
        ),
        "a volume": model(
            "bundle.uri=file:///mnt/models/a", "storage.volume.persistentVolumeClaim.claimName=models"
        ),
    }
    for overlay in ("kind", "production", "recorded"):
        values = ROOT / "manifests/overlays" / overlay
        made[f"chart, {overlay}"] = [
            *manifests.render("serinus", "serinus", "serinus-system", values / "platform-values.yaml"),
            *manifests.render("serinus-model", "fraud", "models", FRAUD, values / "model-values.yaml"),
        ]
        done = subprocess.run(
            ["kubectl", "kustomize", str(values)], capture_output=True, text=True, check=True
        )
        made[f"kustomize, {overlay}"] = [found for found in yaml.safe_load_all(done.stdout) if found]
    return made


def test_the_server_takes_every_object_and_knows_every_field(cluster: Cluster) -> None:
    for how, objects in everything().items():
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        done = cluster.run(
            *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"),
            *("--field-manager=helm", "-f", "-"),
            given=text,
        )
        assert done.returncode == 0, f"{how}: {done.stderr}"
        assert len(done.stdout.splitlines()) == len(objects), how


def test_it_refuses_what_has_a_field_too_many(cluster: Cluster) -> None:
    (broken,) = [found for found in platform() if found["metadata"]["name"] == "serinus-retrain"][:1]
    broken["automountToken"] = False
    done = cluster.run(
        *("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"),
        given=json.dumps(broken),
    )
    assert done.returncode != 0
    assert "automountToken" in done.stderr


@pytest.fixture(scope="module")
def strict(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Schemas for kubeconform, of the server's own OpenAPI document."""
    folder = tmp_path_factory.mktemp("schemas")
    document: dict[str, Any] = json.loads(cluster.run("get", "--raw", "/openapi/v2").stdout)
    for name, schema in schemas(document).items():
        (folder / f"{name}.json").write_text(json.dumps(schema))
    return folder


def kubeconform(folder: Path, objects: list[Obj]) -> subprocess.CompletedProcess[str]:
    """Check objects by schemas and nothing else."""
    return subprocess.run(
        [
            *("kubeconform", "-strict", "-summary", "-output", "json"),
            *("-schema-location", str(folder / "{{.ResourceKind}}{{.KindSuffix}}.json"), "-"),
        ],
        input=yaml.safe_dump_all(objects),
        capture_output=True,
        text=True,
        check=False,
    )


def test_kubeconform_finds_no_fault(strict: Path) -> None:
    for how, objects in everything().items():
        done = kubeconform(strict, objects)
        told = json.loads(done.stdout)
        assert done.returncode == 0, (how, told["resources"])
        assert told["summary"]["valid"] == len(objects), (how, told)


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("Deployment", {"spec": {"replica": 2}}, "replica"),
        ("PodMonitor", {"spec": {"selectors": {}}}, "selectors"),
        ("AuthorizationPolicy", {"spec": {"rule": []}}, "rule"),
        ("NetworkPolicy", {"spec": {"podSelector": []}}, "podSelector"),
    ],
)
def test_kubeconform_finds_a_fault(strict: Path, kind: str, change: Obj, told: str) -> None:
    objects = [*platform(operator=True), *model("istio.mutualTLS=true")]
    object_ = next(found for found in objects if found["kind"] == kind)
    object_["spec"].update(change["spec"])
    done = kubeconform(strict, [object_])
    assert done.returncode != 0
    assert told in done.stdout
