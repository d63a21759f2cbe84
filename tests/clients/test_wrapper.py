"""The same bundle hosted by the real ``seldon-core-microservice`` (1.17.1) gives the scorer's answers."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from serinus.bundle import Bundle
from serinus.model import Answer
from serving.scorer.grpc import messages as pb
from serving.scorer.grpc.values import plain
from serving.scorer.refusal import Refusal
from serving.scorer.wrapper import SerinusModel
from tests.clients.microservice import Microservice, microservice
from tests.local.scorer.process import ScorerProcess, connection
from tests.support.bundles import small_home
from tests.unit.scorer.support import BAD, GOOD, NAMES, v1
from tests.unit.scorer_grpc.support import seldon_rows

pytestmark = pytest.mark.local
PATH = "/api/v1.0/predictions"
ROWS = [GOOD, BAD]


@pytest.fixture(scope="module")
def hosted(bundle: Bundle, folder: Path) -> Generator[Microservice]:
    parameters = {
        "bundle": str(bundle.path),
        "home": str(small_home(folder).root),
        "feedback": str(folder / "outcomes.jsonl"),
    }
    env = {"PREDICTIVE_UNIT_ID": "classifier", "PREDICTOR_ID": "champion"}
    with microservice(parameters, folder / "microservice.log", env) as made:
        yield made


def from_scorer(scorer: ScorerProcess, document: Any) -> Any:
    with connection(scorer.port) as client:
        return json.loads(client.post(PATH, json.dumps(document).encode())[2])


def rpc(made: Microservice, method: str, message: Any) -> Any:
    with grpc.insecure_channel(f"127.0.0.1:{made.grpc_port}") as channel:
        raw = channel.unary_unary(f"/seldon.protos.{method}")(message.SerializeToString(), timeout=60)
    return raw


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(v1(*ROWS), id="ndarray"),
        pytest.param(v1(*[row[::-1] for row in ROWS], names=NAMES[::-1]), id="names in another order"),
        pytest.param(
            {"jsonData": {"rows": [dict(zip(NAMES, row, strict=True)) for row in ROWS]}}, id="jsonData"
        ),
        pytest.param({"meta": {"puid": "mine"}, **v1(*ROWS)}, id="with an id"),
    ],
)
def test_over_rest_it_answers_what_the_scorer_answers(
    hosted: Microservice, scorer: ScorerProcess, document: Any
) -> None:
    ours = from_scorer(scorer, document)
    status, theirs = hosted.ask("POST", PATH, document)
    assert status == 200
    assert theirs["data"] == ours["data"]
    assert theirs["meta"]["tags"] == ours["meta"]["tags"]
    if "meta" in document:
        assert theirs["meta"]["puid"] == ours["meta"]["puid"] == "mine"


@pytest.mark.parametrize("service", ["Model", "Seldon"])
def test_over_grpc_it_answers_what_the_scorer_answers(
    hosted: Microservice, scorer: ScorerProcess, service: str
) -> None:
    ours = from_scorer(scorer, v1(*ROWS))
    theirs = pb.SeldonMessage.FromString(rpc(hosted, f"{service}/Predict", seldon_rows(*ROWS)))
    got = [[v.number_value for v in row.list_value.values] for row in theirs.data.ndarray.values]
    assert got == ours["data"]["ndarray"]
    assert {name: plain(value) for name, value in theirs.meta.tags.items()} == ours["meta"]["tags"]


def test_a_bad_request_names_the_field_as_the_scorer_does(
    hosted: Microservice, scorer: ScorerProcess
) -> None:
    document = v1(["a", *GOOD[1:]])
    ours = from_scorer(scorer, document)
    assert hosted.ask("POST", PATH, document) == (400, ours)
    over_grpc = pb.SeldonMessage.FromString(rpc(hosted, "Model/Predict", seldon_rows(["a", *GOOD[1:]])))
    assert (over_grpc.status.code, over_grpc.status.info) == (400, ours["status"]["info"])
    status, body = hosted.ask("POST", PATH, {"strData": "hello"})
    assert (status, "strData" in body["status"]["info"]) == (400, True)


def test_health_metadata_and_metrics(hosted: Microservice, scorer: ScorerProcess) -> None:
    hosted.ask("POST", PATH, v1(*ROWS))
    assert hosted.ask("GET", "/health/status")[0] == 200
    status, theirs = hosted.ask("GET", "/metadata")
    with connection(scorer.port) as client:
        ours = json.loads(client.get("/metadata")[2])
    assert status == 200
    assert {name: theirs[name] for name in ours} == ours
    _, text = hosted.ask("GET", "/metrics", port=hosted.metrics_port)
    lines = [line for line in text.splitlines() if line.startswith("serinus_decisions_total")]
    assert any('decision="decline"' in line and float(line.rsplit(" ", 1)[1]) >= 1 for line in lines)
    assert any(line.startswith("serinus_model_version") for line in text.splitlines())


def test_an_outcome_is_kept_over_rest_and_grpc(hosted: Microservice, folder: Path) -> None:
    outcome = {"response": {"meta": {"puid": "r-1"}}, "truth": {"data": {"ndarray": [[1]]}}}
    status, answer = hosted.ask("POST", "/send-feedback", outcome)
    assert (status, answer["meta"]["puid"]) == (200, "r-1")
    sent = pb.SeldonFeedback(reward=0.5)
    sent.response.meta.puid = "r-2"
    assert pb.SeldonMessage.FromString(rpc(hosted, "Model/SendFeedback", sent)).meta.puid == "r-2"
    kept = [json.loads(line) for line in (folder / "outcomes.jsonl").read_text().splitlines()]
    by_id = {outcome["request_id"]: outcome for outcome in kept}
    assert by_id["r-1"]["truth"] == [[1]]
    assert by_id["r-2"]["reward"] == 0.5
    assert by_id["r-1"]["predictor"] == "champion"


def test_a_bundle_that_nobody_trusts_does_not_come_up(bundle: Bundle, tmp_path: Path) -> None:
    from serinus.errors import SerinusError

    with pytest.raises(SerinusError):
        SerinusModel(bundle=str(bundle.path), home=str(tmp_path)).load()


def test_called_without_messages_it_gives_probabilities_by_column(
    bundle: Bundle, folder: Path, expected: list[Answer]
) -> None:
    model = SerinusModel(model_uri=str(bundle.path), home=str(small_home(folder).root))
    rows = np.array(ROWS, dtype=object)
    wanted = [[answer.probability] for answer in expected]
    assert model.predict(rows, []).tolist() == wanted
    assert model.predict(rows[:, ::-1], NAMES[::-1], meta={}).tolist() == wanted
    assert model.class_names() == ["probability"]
    assert model.tags()["digest"] == bundle.digest
    with pytest.raises(Refusal, match=r"data\.names\[0\]"):
        model.predict(rows, ["sex", *NAMES[1:]])
    with pytest.raises(ValueError, match="explain"):
        SerinusModel(explain="loudly")  # pyright: ignore[reportArgumentType]
