"""The scorer's OpenAPI 3.1 document, from the structs that decode its requests.

``python -m serving.scorer.openapi`` writes it; docs/scorer-openapi.json is held equal by a test.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import msgspec

from serinus import __version__
from serving.scorer import feedback, intake, shapes, v1, v2

_REF = "#/components/schemas/"
_REFUSALS = {
    400: "malformed, or against the contract; the message names the field",
    404: "no such path, model or version",
    405: "another method is meant",
    408: "the request did not arrive in time",
    413: "too large",
    415: "compressed or framed in a way that is not read",
    429: "shed: too many requests; see Retry-After",
    431: "too many or too large headers",
    500: "the model gave no usable probability, or a fault of the scorer",
    503: "draining, past the deadline, or decisions cannot be recorded",
}
_ID = {
    "name": "Seldon-Puid",
    "in": "header",
    "description": "the request's id; made where it is absent",
    # A name and a limit, so that no card's number can be meant.
    "schema": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z_.-]{0,127}$"},
}
_DEADLINE = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "description": "milliseconds after which no answer is wanted",
    "schema": {"type": "integer", "minimum": 1000, "maximum": 999999999},
}
_MODEL = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_VERSION = {"name": "version", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF + name}


def _content(schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    return {"content": {kind: {"schema": schema}}}


def _operation(
    summary: str,
    answer: dict[str, Any],
    error: str,
    refusals: tuple[int, ...],
    *,
    takes: str = "",
    parameters: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "the answer", **answer}}
    for status in refusals:
        responses[str(status)] = {"description": _REFUSALS[status], **_content(_ref(error))}
    made: dict[str, Any] = {"summary": summary, "responses": responses}
    if parameters:
        made["parameters"] = list(parameters)
    if takes:
        made["requestBody"] = {"required": True, **_content(_ref(takes))}
    return made


_POST = (400, 404, 405, 408, 413, 415, 429, 431, 500, 503)
_GET = (404, 405, 408, 431)


def _paths() -> dict[str, Any]:
    def get(summary: str, answer: str, error: str = "SeldonError", *more: dict[str, Any]) -> dict[str, Any]:
        return {"get": _operation(summary, _content(_ref(answer)), error, _GET, parameters=more)}

    def ready(error: str, *more: dict[str, Any]) -> dict[str, Any]:
        made = get("Whether requests should be sent here", "Ready", error, *more)
        made["get"]["responses"]["503"] = {"description": _REFUSALS[503], **_content(_ref("Ready"))}
        return made

    def infer(*more: dict[str, Any]) -> dict[str, Any]:
        answer = _content(_ref("InferAnswer"))
        answer["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
        operation = _operation(
            "Score rows (Open Inference V2)",
            answer,
            "InferError",
            _POST,
            takes="Request",
            parameters=(*more, _ID, _DEADLINE),
        )
        return {"post": operation}

    scored = _operation(
        "Score rows (Seldon V1)",
        _content(_ref("SeldonAnswer")),
        "SeldonError",
        _POST,
        takes="Message",
        parameters=(_ID, _DEADLINE),
    )
    outcome = _operation(
        "Keep an outcome, by request id",
        _content(_ref("Acknowledged")),
        "SeldonError",
        _POST,
        takes="FeedbackRequest",
        parameters=(_ID,),
    )
    events = _operation(
        "Take events and labels for features by entity",
        _content(_ref("Taken")),
        "SeldonError",
        _POST,
        takes="Batch",
    )
    text = {
        "get": _operation(
            "Prometheus metrics", _content({"type": "string"}, "text/plain"), "SeldonError", _GET
        )
    }
    ping = {"get": _operation("pong", _content({"const": "pong"}, "text/plain"), "SeldonError", _GET)}
    status = get("Seldon's health", "Status")
    status["get"]["responses"]["503"] = {"description": _REFUSALS[503], **_content(_ref("SeldonError"))}
    live, metadata = get("The process answers", "Live"), get("What is served", "SeldonMetadata")
    model = "/v2/models/{model}"
    versioned = f"{model}/versions/{{version}}"
    described = "What the model takes and gives"
    return {
        "/api/v1.0/predictions": {"post": scored},
        "/predict": {"post": scored},
        "/api/v1.0/feedback": {"post": outcome},
        "/send-feedback": {"post": outcome},
        "/api/v1.0/events": {"post": events},
        f"{model}/infer": infer(_MODEL),
        f"{versioned}/infer": infer(_MODEL, _VERSION),
        model: get(described, "ModelMetadata", "InferError", _MODEL),
        versioned: get(described, "ModelMetadata", "InferError", _MODEL, _VERSION),
        f"{model}/ready": ready("InferError", _MODEL),
        f"{versioned}/ready": ready("InferError", _MODEL, _VERSION),
        "/v2": get("Who serves", "ServerMetadata", "InferError"),
        "/v2/health/live": get("The process answers", "Live", "InferError"),
        "/v2/health/ready": ready("InferError"),
        "/live": live,
        "/ready": ready("SeldonError"),
        "/health/ping": ping,
        "/health/status": status,
        "/api/v1.0/health/status": status,
        "/metadata": metadata,
        "/api/v1.0/metadata": metadata,
        "/metrics": text,
        "/prometheus": text,
    }


_SHAPES = (
    v1.Message,
    v2.Request,
    feedback._Request,
    intake.Batch,
    intake.Taken,
    shapes.SeldonAnswer,
    shapes.SeldonError,
    shapes.InferAnswer,
    shapes.InferError,
    shapes.Live,
    shapes.Ready,
    shapes.ModelMetadata,
    shapes.ServerMetadata,
    shapes.SeldonMetadata,
    shapes.Acknowledged,
    shapes.Status,
)


@cache
def document() -> bytes:
    """The document as JSON."""
    _, components = msgspec.json.schema_components(_SHAPES, ref_template=_REF + "{name}")
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "serinus scorer",
            "version": __version__,
            "description": "Decisions with reasons, in Seldon V1 and Open Inference V2. See docs/scorer.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(),
        "components": {"schemas": components},
    }
    text = msgspec.json.encode(whole).decode()
    # The structs that feedback keeps to itself.
    text = text.replace(f'"{_REF}_', f'"{_REF}Feedback')
    for name in components:
        if name.startswith("_"):
            text = text.replace(f'"{name}":', f'"Feedback{name[1:]}":')
    return text.encode()


def main() -> None:
    """Print it, for docs/scorer-openapi.json."""
    sys.stdout.write(msgspec.json.format(document(), indent=2).decode() + "\n")


if __name__ == "__main__":
    main()
