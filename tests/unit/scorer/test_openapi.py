"""The OpenAPI document: what is checked in is what is served, and answers are what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from serving.scorer import openapi, shapes
from tests.unit.scorer.support import BAD, GOOD, rig, v1, v2

DOCUMENT = json.loads(openapi.document())


def through(body: bytes, shape: type[Any]) -> Any:
    """What is left of a body that is read as a shape."""
    return json.loads(msgspec.json.encode(msgspec.json.decode(body, type=shape)))


def test_the_checked_in_document_is_the_served_one() -> None:
    """Write it anew with ``python -m serving.scorer.openapi > docs/scorer-openapi.json``."""
    checked_in = Path(__file__).parents[3] / "docs" / "scorer-openapi.json"
    assert json.loads(checked_in.read_text()) == DOCUMENT
    assert rig().call("GET", "/openapi.json").json == DOCUMENT


def test_every_reference_resolves() -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [ref for value in node.values() for ref in references(value)]
        return [ref for value in node for ref in references(value)] if isinstance(node, list) else []

    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert set(references(DOCUMENT)) <= known


@pytest.mark.parametrize("path", [path for path in DOCUMENT["paths"] if "get" in DOCUMENT["paths"][path]])
def test_every_path_that_is_documented_is_served(path: str) -> None:
    assert rig().call("GET", path.format(model="small", version="1")).status == 200


EXACT: dict[str, type[Any]] = {
    "/live": shapes.Live,
    "/ready": shapes.Ready,
    "/v2": shapes.ServerMetadata,
    "/v2/models/small": shapes.ModelMetadata,
    "/metadata": shapes.SeldonMetadata,
    "/health/status": shapes.Status,
}


@pytest.mark.parametrize("path", EXACT)
def test_answers_have_the_documented_shape(path: str) -> None:
    body = rig().call("GET", path).body
    assert through(body, EXACT[path]) == json.loads(body)


@pytest.mark.parametrize("rows", [[GOOD], [BAD], [GOOD, BAD]])
def test_scores_have_the_documented_shape_with_nothing_left_out(rows: list[list[Any]]) -> None:
    made = rig()
    answer = made.predict(v1(*rows))
    assert through(answer.body, shapes.SeldonAnswer) == answer.json
    answer = made.predict(v2(rows[0]), "/v2/models/small/infer")
    assert through(answer.body, shapes.InferAnswer) == answer.json


def test_errors_have_the_documented_shape() -> None:
    made = rig()
    answer = made.predict(b"x")
    assert through(answer.body, shapes.SeldonError) == answer.json
    answer = made.predict(b"x", "/v2/models/small/infer")
    assert through(answer.body, shapes.InferError) == answer.json
