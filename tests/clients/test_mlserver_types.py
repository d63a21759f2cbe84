"""MLServer's types (1.7.1) read what the scorer answers, and the scorer reads what they write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serinus.model import Answer
from tests.clients.environments import ask
from tests.local.scorer.process import ScorerProcess, connection
from tests.unit.scorer.support import BAD, GOOD, NAMES, v2

pytestmark = pytest.mark.local
INFER = "/v2/models/classifier/infer"


def columns() -> list[dict[str, Any]]:
    kinds = ["FP64", "INT64", "BYTES", "FP64", "FP64"]
    return [
        {"name": name, "shape": [2], "datatype": kind, "data": [good, 5.0 if bad is None else bad]}
        for name, kind, good, bad in zip(NAMES, kinds, GOOD, BAD, strict=True)
    ]


def test_answers_and_metadata_are_what_its_types_say_and_its_requests_are_understood(
    scorer: ScorerProcess, expected: list[Answer]
) -> None:
    with connection(scorer.port) as client:
        ours = {
            "answer of all outputs": json.loads(client.post(INFER, json.dumps(v2(BAD)).encode())[2]),
            "error": json.loads(client.post(INFER, b"{}")[2]),
            "model": json.loads(client.get("/v2/models/classifier")[2]),
            "server": json.loads(client.get("/v2")[2]),
        }
        found = ask("mlserver", "mlserver_types.py", given={"documents": ours, "inputs": columns()})
        status, _, body = client.post(INFER, json.dumps(found["request"]).encode())
    answer = found["answer of all outputs"]
    assert [output["name"] for output in answer["outputs"]] == ["probability", "score", "decision", "reasons"]
    assert answer["outputs"][0]["data"] == [expected[1].probability]
    assert (answer["model_name"], answer["model_version"]) == ("classifier", "1")
    assert [tensor["name"] for tensor in found["model"]["inputs"]] == NAMES
    assert found["server"]["name"] == "serinus-scorer"
    assert found["error"]["error"]
    assert status == 200
    understood = json.loads(body)
    assert understood["id"] == "from-mlserver"
    assert [output["name"] for output in understood["outputs"]] == ["probability"]
    assert understood["outputs"][0]["data"][0] == expected[0].probability
