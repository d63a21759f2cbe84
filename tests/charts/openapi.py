"""The API server's OpenAPI document as JSON schemas, one for each kind, for kubeconform."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
# In OpenAPI these are objects or strings by their Go type, and on the wire something else.
_WIRE: dict[str, Schema] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number", "integer"]},
}
_FREE = "x-kubernetes-preserve-unknown-fields"


def schemas(document: Schema) -> dict[str, Schema]:
    """kubeconform's name of each kind (``deployment-apps-v1``) → schema that refuses unknown fields."""
    definitions = {name: _WIRE.get(name) or _strict(found) for name, found in document["definitions"].items()}
    made: dict[str, Schema] = {}
    for name, found in document["definitions"].items():
        for kind in found.get("x-kubernetes-group-version-kind", []):
            group = f"-{kind['group'].split('.')[0]}" if kind["group"] else ""
            made[f"{kind['kind'].lower()}{group}-{kind['version']}"] = {
                "$ref": f"#/definitions/{name}",
                "definitions": _needed(name, definitions),
            }
    return made


def _strict(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    made = dict(node)
    # Below `properties` keys are names of fields, which may be called as keywords are.
    if isinstance(node.get("properties"), dict):
        made["properties"] = {name: _strict(field) for name, field in node["properties"].items()}
    for key in ("items", "additionalProperties", "not"):
        if key in node:
            made[key] = _strict(node[key])
    for key in ("allOf", "anyOf", "oneOf"):
        if key in node:
            made[key] = [_strict(field) for field in node[key]]
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    # `format: int32` and the like are hints of OpenAPI; a schema checker may not know them.
    made.pop("format", None)
    if "properties" in made and "additionalProperties" not in made and not made.get(_FREE):
        made["additionalProperties"] = False
    return made


def _needed(name: str, definitions: dict[str, Schema]) -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    open_ = [name]
    while open_:
        one = open_.pop()
        if one not in found:
            found[one] = definitions[one]
            open_ += _references(definitions[one])
    return found


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [reference for item in node for reference in _references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"].removeprefix("#/definitions/")] if isinstance(node.get("$ref"), str) else []
    return own + [reference for value in node.values() for reference in _references(value)]
