"""Both charts rendered with the values that people use, and what is read off them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FRAUD = ROOT / "charts/serinus-model/ci/fraud-values.yaml"
VERSIONS = (
    "records.enabled=true",
    "records.versions.enabled=true",
    "records.versions.callers={kubeflow/pipeline-runner}",
    "records.versions.keys=signers",
    "records.versions.tlsSecret=records-tls",
)
"""A record keeper that takes versions over TLS."""
Obj = dict[str, Any]


def _load(name: str) -> Any:
    # The charts' tools are programs beside the charts, not a package.
    spec = importlib.util.spec_from_file_location(f"charts_{name}", ROOT / "charts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


manifests = _load("manifests")
schema = _load("schema")


def platform(*sets: str, operator: bool = False) -> list[Obj]:
    """The platform's objects, from defaults and ``--set``."""
    return manifests.render("serinus", "serinus", "serinus-system", sets=sets, operator=operator)


def model(*sets: str, values: Path = FRAUD) -> list[Obj]:
    """One model's objects, from the example's values and ``--set``."""
    return manifests.render("serinus-model", "fraud", "models", values, sets=sets)


def one(objects: list[Obj], kind: str, name: str | None = None) -> Obj:
    """The object of that kind (and name), of which there must be one."""
    (found,) = [
        object_
        for object_ in objects
        if object_["kind"] == kind and name in (None, object_["metadata"]["name"])
    ]
    return found


def pods(objects: list[Obj]) -> Iterator[tuple[str, Obj]]:
    """Name and spec of every pod that the objects ask for."""
    for object_ in objects:
        name = f"{object_['kind']}/{object_['metadata']['name']}"
        if object_["kind"] == "Deployment":
            yield name, object_["spec"]["template"]["spec"]
        if object_["kind"] == "SeldonDeployment":
            for predictor in object_["spec"]["predictors"]:
                for component in predictor["componentSpecs"]:
                    yield f"{name}/{predictor['name']}", component["spec"]


def containers(pod: Obj) -> list[Obj]:
    """All of a pod's containers, those that run first included."""
    return [*pod.get("initContainers", []), *pod["containers"]]
