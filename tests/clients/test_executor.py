"""The scorer as the model container behind Seldon's real executor: both protocols, REST and gRPC."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import grpc
import pytest

from serinus.scoring import Scorer
from serving.scorer.grpc import messages as pb
from serving.scorer.grpc.values import plain
from tests.clients.executor import BINARY, Executor, executor
from tests.local.scorer.process import ScorerProcess
from tests.support.bundles import small_bundle, small_home
from tests.unit.scorer.support import BAD, GOOD, NAMES, v1, v2
from tests.unit.scorer_grpc.support import columns, seldon_rows

pytestmark = [
    pytest.mark.local,
    # Not a part of the project, nor of CI: whoever has built it names it.
    pytest.mark.skipif(not BINARY, reason="SELDON_EXECUTOR names no binary of seldon-core's executor"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("executor")


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Generator[ScorerProcess]:
    env = {
        "PREDICTIVE_UNIT_ID": "classifier",
        "SELDON_DEPLOYMENT_ID": "shop",
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "0",
        "PREDICTIVE_UNIT_GRPC_SERVICE_PORT": "0",
    }
    with ScorerProcess(small_bundle(folder).path, small_home(folder).root, env=env) as made:
        yield made


@pytest.fixture(scope="module")
def seldon(scorer: ScorerProcess, folder: Path) -> Generator[Executor]:
    with executor(scorer.port, scorer.ready["grpc_port"], protocol="seldon", folder=folder) as made:
        yield made


@pytest.fixture(scope="module")
def open_inference(scorer: ScorerProcess, folder: Path) -> Generator[Executor]:
    with executor(scorer.port, scorer.ready["grpc_port"], protocol="v2", folder=folder) as made:
        yield made


@pytest.fixture(scope="module")
def expected(folder: Path) -> list[float]:
    made = Scorer(small_bundle(folder))
    rows = made.vectorizer.encode_rows([dict(zip(NAMES, row, strict=True)) for row in (GOOD, BAD)])
    return [answer.probability for answer in made.score(rows)]


def rpc(
    made: Executor, method: str, message: Any, answer: Any, **metadata: str
) -> tuple[Any, dict[str, str]]:
    with grpc.insecure_channel(f"127.0.0.1:{made.grpc_port}") as channel:
        call = channel.unary_unary(method)
        sent = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
        raw, ended = call.with_call(message.SerializeToString(), metadata=sent, timeout=60)
        got = {**dict(ended.initial_metadata()), **dict(ended.trailing_metadata())}
        return answer.FromString(raw), {name: str(value) for name, value in got.items()}


def test_v1_over_rest(seldon: Executor, expected: list[float]) -> None:
    status, body, headers = seldon.ask("POST", "/api/v1.0/predictions", v1(GOOD, BAD), Seldon_Puid="q-1")
    assert status == 200
    assert body["data"]["ndarray"] == [[p] for p in expected]
    assert [d["decision"] for d in body["meta"]["tags"]["decisions"]] == ["approve", "decline"]
    assert (body["meta"]["puid"], headers["seldon-puid"]) == ("q-1", "q-1")


def test_v1_the_executors_own_request_id_is_the_decisions(seldon: Executor) -> None:
    _, body, headers = seldon.ask("POST", "/api/v1.0/predictions", v1(GOOD))
    assert body["meta"]["puid"] == headers["seldon-puid"] != ""


def test_v1_a_bad_request_passes_with_its_field(seldon: Executor) -> None:
    status, body, _ = seldon.ask("POST", "/api/v1.0/predictions", v1(["a", *GOOD[1:]]))
    assert (status, body["status"]["code"]) == (400, 400)
    assert body["status"]["info"].startswith("data.ndarray[0].amount: is 'a'")


def test_v1_feedback_and_metadata_over_rest(seldon: Executor) -> None:
    outcome = {"response": {"meta": {"puid": "q-1"}}, "truth": {"data": {"ndarray": [[1]]}}, "reward": 1.0}
    status, body, _ = seldon.ask("POST", "/api/v1.0/feedback", outcome)
    assert (status, body["meta"]["puid"]) == (200, "q-1")
    status, body, _ = seldon.ask("GET", "/api/v1.0/metadata/classifier")
    assert (status, body["name"], body["custom"]["predictor"]) == (200, "classifier", "champion")
    status, body, _ = seldon.ask("GET", "/api/v1.0/metadata")
    assert (status, list(body["models"])) == (200, ["classifier"])
    assert seldon.ask("GET", "/api/v1.0/health/status")[0] == 200


def test_v1_over_grpc(seldon: Executor, expected: list[float]) -> None:
    got, metadata = rpc(
        seldon, "/seldon.protos.Seldon/Predict", seldon_rows(GOOD, BAD), pb.SeldonMessage, seldon_puid="q-2"
    )
    assert [row.list_value.values[0].number_value for row in got.data.ndarray.values] == expected
    assert [d["decision"] for d in plain(got.meta.tags["decisions"])] == ["approve", "decline"]
    assert (got.meta.puid, metadata["seldon-puid"]) == ("q-2", "q-2")


def test_v1_a_bad_request_over_grpc_is_an_invalid_argument(seldon: Executor) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        rpc(seldon, "/seldon.protos.Seldon/Predict", seldon_rows(["a", *GOOD[1:]]), pb.SeldonMessage)
    error: Any = caught.value
    assert (error.code(), error.details()[:24]) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "data.ndarray[0].amount: ",
    )


def test_v1_feedback_and_metadata_over_grpc(seldon: Executor) -> None:
    outcome = pb.SeldonFeedback(reward=1)
    outcome.response.meta.puid = "q-2"
    assert rpc(seldon, "/seldon.protos.Seldon/SendFeedback", outcome, pb.SeldonMessage)[0].meta.puid == "q-2"
    request = pb.SeldonModelMetadataRequest(name="classifier")
    got, _ = rpc(seldon, "/seldon.protos.Seldon/ModelMetadata", request, pb.SeldonModelMetadata)
    assert (got.name, got.custom["predictor"]) == ("classifier", "champion")
    graph, _ = rpc(seldon, "/seldon.protos.Seldon/GraphMetadata", pb.Empty(), pb.SeldonGraphMetadata)
    assert list(graph.models) == ["classifier"]


def test_v2_over_rest(open_inference: Executor, expected: list[float]) -> None:
    status, body, _ = open_inference.ask("POST", "/v2/models/classifier/infer", v2(BAD), Seldon_Puid="q-3")
    assert status == 200
    assert body["outputs"][0]["data"] == expected[1:]
    assert body["parameters"]["puid"] == "q-3"
    assert open_inference.ask("GET", "/v2/models/classifier/ready")[0] == 200
    assert open_inference.ask("GET", "/v2/models/classifier")[1]["name"] == "classifier"
    status, body, _ = open_inference.ask("POST", "/v2/models/classifier/infer", {"inputs": []})
    assert (status, body["error"]) == (400, "inputs: holds no tensor")


def test_v2_over_grpc(open_inference: Executor, expected: list[float]) -> None:
    service = "/inference.GRPCInferenceService"
    message = columns(GOOD, BAD)
    message.model_name = "classifier"
    got, _ = rpc(open_inference, f"{service}/ModelInfer", message, pb.ModelInferResponse)
    assert list(got.outputs[0].contents.fp64_contents) == expected
    ready = pb.ModelReadyRequest(name="classifier")
    assert rpc(open_inference, f"{service}/ModelReady", ready, pb.ModelReadyResponse)[0].ready
    request = pb.ModelMetadataRequest(name="classifier")
    assert (
        rpc(open_inference, f"{service}/ModelMetadata", request, pb.ModelMetadataResponse)[0].name
        == "classifier"
    )
    message.inputs[0].name = "sex"
    with pytest.raises(grpc.RpcError) as caught:
        rpc(open_inference, f"{service}/ModelInfer", message, pb.ModelInferResponse)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith('inputs[0].name: "sex"')


def test_the_executors_metrics_count_the_codes_that_the_scorer_gave(seldon: Executor) -> None:
    text = seldon.ask("GET", "/prometheus")[1].decode()
    lines = [
        line
        for line in text.splitlines()
        if line.startswith("seldon_api_executor_server_requests_seconds_count")
    ]
    assert any('code="200"' in line and 'service="predictions"' in line for line in lines)
    assert any('code="400"' in line and 'service="predictions"' in line for line in lines)
