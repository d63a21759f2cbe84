"""Seldon's and Istio's kinds as far as a test without their operators needs them: free-form, like the real ones."""

from __future__ import annotations

from typing import Any

FREE: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definition(group: str, version: str, plural: str, kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {"spec": FREE, "status": FREE}}
    if kind == "SeldonDeployment":
        # As in Seldon's own: an array without keys, hence one field to server-side apply.
        predictors = {"type": "array", "items": FREE}
        schema["properties"]["spec"] = FREE | {"properties": {"predictors": predictors}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


def foreign() -> list[dict[str, Any]]:
    return [
        definition("machinelearning.seldon.io", "v1", "seldondeployments", "SeldonDeployment"),
        definition("networking.istio.io", "v1", "virtualservices", "VirtualService"),
    ]
