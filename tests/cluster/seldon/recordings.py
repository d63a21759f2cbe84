"""The nine recorded states, and what is left out when two worlds are compared.

Left out, because they differ from one cluster to the next and say nothing:

- ``uid``, ``resourceVersion``, ``creationTimestamp``, ``managedFields``, ``selfLink`` and cluster IPs;
- the times of conditions and of a deletion;
- the hash of the pod template in a ReplicaSet's name, in a Deployment's message;
- the order of keys in ``ENGINE_PREDICTOR`` and the bytes of the zip in ``seldon.io/last-applied``: both are
  compared as the JSON they hold, the latter without the status and metadata of the object that was found;
- the tag of the executor's image;
- kubectl's own ``last-applied-configuration``, and annotations that are empty.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from tests.cluster.kube import Obj

from . import last_applied

RECORDED = Path(__file__).with_name("recorded")
STATES = sorted(path.stem for path in RECORDED.glob("*.json"))
Id = tuple[str, str]
_DROPPED = {
    *("uid", "resourceVersion", "creationTimestamp", "managedFields", "selfLink", "clusterIP", "clusterIPs"),
    *(
        "lastTransitionTime",
        "lastUpdateTime",
        "deletionTimestamp",
        "kubectl.kubernetes.io/last-applied-configuration",
    ),
}


def recorded(state: str) -> dict[Id, Obj]:
    """The objects of one state, by kind and name, as they were recorded."""
    return by_id(json.loads((RECORDED / f"{state}.json").read_text())["items"])


def by_id(objects: list[Obj]) -> dict[Id, Obj]:
    """Objects by kind and name."""
    return {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}


def normal(obj: Obj, namespace: str = "default") -> Any:
    """The object without what is left out, its namespace called ``default``."""
    return _normal(obj, namespace)


def _normal(value: Any, namespace: str) -> Any:
    if isinstance(value, dict):
        kept = {key: _field(key, item, namespace) for key, item in value.items() if key not in _DROPPED}
        if value.get("name") == "ENGINE_PREDICTOR":
            kept["value"] = _normal(json.loads(base64.b64decode(value["value"])), namespace)
        return kept
    if isinstance(value, list):
        return [_normal(item, namespace) for item in value]
    if isinstance(value, str):
        value = re.sub(r'(ReplicaSet "[^"]*)-[0-9a-f]+"', r'\1-HASH"', value)
        value = re.sub(r"(seldon-core-executor):.*", r"\1:TAG", value)
        return _renamed(value, namespace)
    return value


def _renamed(text: str, namespace: str) -> str:
    if namespace == "default":
        return text
    for form in ("/seldon/{}/", ".{}.svc", ".{}:"):
        text = text.replace(form.format(namespace), form.format("default"))
    return "default" if text == namespace else text


def _field(key: str, value: Any, namespace: str) -> Any:
    if key == last_applied.ANNOTATION:
        sent = last_applied.noted({"metadata": {"annotations": {key: value}}})
        return (
            _normal({"labels": sent["metadata"]["labels"], "spec": sent["spec"]}, namespace) if sent else None
        )
    if key == "metadata" and isinstance(value, dict) and not value.get("annotations"):
        value = {name: item for name, item in value.items() if name != "annotations"}
    return _normal(value, namespace)


def differences(expected: Any, actual: Any, at: str = "") -> list[str]:
    """Where two normal forms differ, as paths with both values."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return [
            line
            for key in sorted(expected.keys() | actual.keys())
            for line in differences(expected.get(key), actual.get(key), f"{at}/{key}")
        ]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return [line for i, (one, other) in pairs for line in differences(one, other, f"{at}/{i}")]
    if expected == actual:
        return []
    return [f"{at}: the real operator {_brief(expected)}, the stand-in {_brief(actual)}"]


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 300 else text[:300] + "…"
