"""Events held against OpenLineage's own JSON schemas: the event's, and each facet's by its key."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from serinus.lineage.facets import SCHEMAS
from serinus.lineage.types import RunEvent

_DIRECTORY = Path(__file__).with_name("openlineage")


@cache
def _schemas() -> dict[str, Any]:
    found = [json.loads(path.read_text()) for path in sorted(_DIRECTORY.glob("*.json"))]
    return {schema["$id"]: schema for schema in found}


@cache
def _validator(uri: str) -> Any:
    registry = jsonschema_rs.Registry(list(_schemas().items()))
    return jsonschema_rs.Draft202012Validator({"$ref": uri}, registry=registry, validate_formats=True)


def problems(event: RunEvent | dict[str, Any]) -> list[str]:
    """What the official schemas find wrong with an event; every facet must be one that they know."""
    value = json.loads(_encoded(event)) if isinstance(event, RunEvent) else event
    found = [f"event: {error.message}" for error in _validator(value["schemaURL"]).iter_errors(value)]
    for place, key, facet in _facets(value):
        if facet["_schemaURL"] != f"https://openlineage.io/spec/facets/{SCHEMAS[key]}":
            found.append(f"{place}.{key}: schema {facet['_schemaURL']}")
        whole = facet["_schemaURL"].partition("#")[0]
        found += [f"{place}.{key}: {error.message}" for error in _validator(whole).iter_errors({key: facet})]
    return found


def _encoded(event: RunEvent) -> bytes:
    import msgspec

    return msgspec.json.encode(event)


def _facets(value: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    found = [("run", value["run"].get("facets", {})), ("job", value["job"].get("facets", {}))]
    for side, own in (("inputs", "inputFacets"), ("outputs", "outputFacets")):
        for dataset in value.get(side, []):
            found += [(f"{side} {dataset['name']}", dataset.get(kind, {})) for kind in ("facets", own)]
    return [(place, key, facet) for place, facets in found for key, facet in facets.items()]
