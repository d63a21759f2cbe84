"""seldon-core's own SeldonClient (1.17.1) against the scorer: REST and gRPC, as a microservice and by a gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serinus.model import Answer
from tests.clients.environments import ask
from tests.local.scorer.process import ScorerProcess
from tests.support.bundles import small_home
from tests.unit.scorer.support import BAD, GOOD, NAMES

pytestmark = pytest.mark.local
TRANSPORTS = ["rest", "grpc"]


@pytest.fixture(scope="module")
def found(scorer: ScorerProcess) -> Any:
    records = [dict(zip(NAMES, row, strict=True)) for row in (GOOD, BAD)]
    given = {"rows": [GOOD, BAD], "names": NAMES, "records": records}
    ports = str(scorer.port), str(scorer.ready["grpc_port"])
    return ask("seldon", "seldon_client.py", *ports, given=given)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("call", ["microservice", "json", "gateway"])
def test_the_client_understands_the_answer(
    found: Any, expected: list[Answer], call: str, transport: str
) -> None:
    result = found[f"{call} {transport}"]
    assert result["success"], result["message"]
    response = result["response"]
    assert response["data"]["names"] == ["probability"]
    assert response["data"]["ndarray"] == [[answer.probability] for answer in expected]
    decisions = response["meta"]["tags"]["decisions"]
    assert [given["decision"] for given in decisions] == ["approve", "decline"]
    assert [reason["code"] for reason in decisions[1]["reasons"]] == [r.code for r in expected[1].reasons]
    if call == "gateway":
        assert response["meta"]["puid"] == f"gateway-{transport}"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_client_is_told_which_field_was_wrong(found: Any, transport: str) -> None:
    result = found[f"bad {transport}"]
    assert not result["success"]
    told = result["message"] if transport == "grpc" else result["response"]["status"]["info"]
    assert "data.ndarray[0].amount: is 'a'" in told


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_outcome_that_the_client_sends_back_is_kept_by_the_decisions_id(
    found: Any, folder: Path, transport: str
) -> None:
    request_id = found[f"microservice {transport}"]["response"]["meta"]["puid"]
    assert found[f"feedback {transport}"]["success"], found[f"feedback {transport}"]["message"]
    kept = small_home(folder).decisions / "classifier.feedback.jsonl"
    outcomes = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [o["reward"] for o in outcomes if o["request_id"] == request_id] == [1.0]
