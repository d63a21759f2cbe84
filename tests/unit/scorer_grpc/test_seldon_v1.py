"""Seldon V1 over gRPC: every form of a row, what is refused, feedback and metadata."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from serving.scorer.grpc import messages as pb
from serving.scorer.grpc.values import plain, put
from tests.unit.scorer.support import BAD, GOOD, NAMES, bundle, rig, scorer, v1
from tests.unit.scorer_grpc.support import call, predict, seldon_rows

ROW = dict(zip(NAMES, BAD, strict=True))
SERVICES = ["/seldon.protos.Seldon/Predict", "/seldon.protos.Model/Predict"]


def json_data(document: Any) -> Any:
    message = pb.SeldonMessage()
    put(message.jsonData, document)
    return message


@pytest.mark.parametrize("method", SERVICES)
@pytest.mark.parametrize(
    "message",
    [
        pytest.param(seldon_rows(BAD), id="ndarray in the contract's order"),
        pytest.param(seldon_rows(BAD[::-1], names=NAMES[::-1]), id="ndarray with names in another order"),
        pytest.param(json_data({"rows": [ROW]}), id="jsonData"),
    ],
)
def test_every_form_of_a_row_gets_the_answer_that_http_gives(message: Any, method: str) -> None:
    made = rig()
    over_http = made.predict(v1(BAD), seldon_puid="r-1").json
    answer = call(made, method, message, pb.SeldonMessage, seldon_puid="r-1")
    assert answer.code is grpc.StatusCode.OK
    got = answer.message
    assert list(got.data.names) == over_http["data"]["names"]
    assert [[v.number_value for v in row.list_value.values] for row in got.data.ndarray.values] == over_http[
        "data"
    ]["ndarray"]
    assert {name: plain(value) for name, value in got.meta.tags.items()} == over_http["meta"]["tags"]
    assert got.meta.puid == "r-1"
    assert answer.trailing["seldon-puid"] == "r-1"
    assert answer.trailing["x-serinus-predictor"] == "canary"
    assert answer.trailing["x-serinus-digest"] == bundle().digest
    assert made.service.recorder.pending == 2


def test_a_tensor_of_a_model_without_levels_in_that_row_is_read_with_nan_as_missing() -> None:
    message = pb.SeldonMessage()
    message.data.names.extend(["amount", "hour", "days_since_last", "merchant_risk"])
    message.data.tensor.shape.extend([2, 4])
    message.data.tensor.values.extend([20.0, 12, float("nan"), 0.01, 900.0, 3, 5.0, 0.4])
    answer = predict(rig(), message)
    # channel is not in it, and the contract refuses it missing: the refusal shows the tensor was read.
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.details.startswith("data.tensor[0].channel: is missing")


def test_the_request_id_is_the_messages_unless_the_metadata_has_one() -> None:
    message = seldon_rows(GOOD)
    message.meta.puid = "in-the-message"
    assert predict(rig(), message).message.meta.puid == "in-the-message"
    assert predict(rig(), message, seldon_puid="in-the-metadata").message.meta.puid == "in-the-metadata"


def tf(message: Any) -> None:
    message.data.tftensor = b"x"


def text(message: Any) -> None:
    message.strData = "hello"


def tall(message: Any) -> None:
    message.data.tensor.shape.extend([3, 5])
    message.data.tensor.values.extend([1.0] * 5)


def nested(message: Any) -> None:
    message.data.ndarray.values.add().list_value.values.add().list_value.values.add().number_value = 1


def flat(message: Any) -> None:
    message.data.ndarray.values.add().number_value = 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: None, "give exactly one of data"),
        (tf, "data.tftensor: is not supported"),
        (text, "strData: is not supported"),
        (tall, "data.tensor.shape: [3, 5] does not fit 5 values"),
        (nested, "data.ndarray[0][0]: "),
        (flat, "data.ndarray[0]: "),
        (lambda m: m.data.names.append("x"), "data: give exactly one of ndarray and tensor"),
        (lambda m: m.CopyFrom(seldon_rows()), "data.ndarray: holds no rows"),
        (lambda m: m.CopyFrom(seldon_rows(["a", *GOOD[1:]])), "data.ndarray[0].amount: is 'a'"),
        (lambda m: m.CopyFrom(seldon_rows([float("inf"), *GOOD[1:]])), "data.ndarray[0].amount: is infinite"),
        (lambda m: m.CopyFrom(seldon_rows(GOOD, names=["sex", *NAMES[1:]])), 'data.names[0]: "sex" is not'),
        (lambda m: m.CopyFrom(json_data({"rows": [{**ROW, "sex": "f"}]})), "jsonData.rows[0].sex: "),
        (lambda m: m.CopyFrom(json_data({"rows": 3})), "jsonData.rows: "),
        (lambda m: m.CopyFrom(json_data([1])), "jsonData: "),
    ],
)
def test_a_bad_request_is_an_invalid_argument_that_names_the_field(
    change: Callable[[Any], None], words: str
) -> None:
    made, message = rig(), pb.SeldonMessage()
    change(message)
    answer = predict(made, message)
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.details.startswith(words)
    assert made.reported == []
    assert made.metric('serinus_requests_total{code="400",model="small",predictor="canary"}') == 1


def test_bytes_that_are_no_message_are_an_invalid_argument_and_counted() -> None:
    made = rig()
    answer = predict(made, b"\xff\xff")
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "is not a seldon.protos.SeldonMessage message" in answer.details
    assert made.metric('serinus_requests_total{code="400",model="small",predictor="canary"}') == 1


def test_a_bad_request_id_in_the_metadata_is_refused() -> None:
    assert predict(rig(), seldon_rows(GOOD), seldon_puid="x" * 129).details.startswith("Seldon-Puid: ")


def test_the_drift_monitor_gets_json_it_can_read_unless_told_not_to() -> None:
    made = rig()
    predict(made, seldon_rows(BAD, names=NAMES), seldon_puid="q")
    predict(made, seldon_rows(GOOD), seldon_skip_logging="true")
    kinds = [
        (kind.rsplit(".", 1)[1], request_id, protocol) for kind, request_id, protocol, _ in made.payloads.kept
    ]
    assert kinds == [("request", "q", "seldon"), ("response", "q", "seldon")]
    request, response = (json.loads(body) for *_, body in made.payloads.kept)
    assert request["data"] == {"names": NAMES, "ndarray": [BAD]}
    expected = scorer().score(scorer().vectorizer.encode(ROW)[None, :], "adverse")[0]
    assert response["data"]["ndarray"] == [[expected.probability]]


def feedback(**parts: Any) -> Any:
    message = pb.SeldonFeedback(**parts)
    message.response.meta.puid = "r-9"
    return message


def test_feedback_is_kept_by_request_id() -> None:
    made = rig()
    sent = feedback()
    sent.truth.data.ndarray.values.add().list_value.values.add().number_value = 1
    for service in ("Seldon", "Model", "Generic"):
        answer = call(made, f"/seldon.protos.{service}/SendFeedback", sent, pb.SeldonMessage)
        assert answer.message.meta.puid == "r-9"
    assert [(kept.request_id, kept.truth, kept.reward) for kept in made.feedback.kept] == [
        ("r-9", [[1]], None)
    ] * 3


@pytest.mark.parametrize("reward", [0.0, 0.5])
def test_a_reward_without_a_truth_counts_even_if_it_is_0(reward: float) -> None:
    made = rig()
    call(made, "/seldon.protos.Model/SendFeedback", feedback(reward=reward), pb.SeldonMessage)
    assert [kept.reward for kept in made.feedback.kept] == [reward]


def test_feedback_that_names_no_request_is_refused() -> None:
    sent = pb.SeldonFeedback(reward=1)
    answer = call(rig(), "/seldon.protos.Model/SendFeedback", sent, pb.SeldonMessage)
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.details.startswith("response.meta.puid: is missing")


def test_metadata_says_what_http_says() -> None:
    made = rig()
    over_http = made.call("GET", "/metadata").json
    for method, request in (
        ("Model/Metadata", pb.Empty()),
        ("Seldon/ModelMetadata", pb.SeldonModelMetadataRequest(name="small")),
    ):
        got = call(made, f"/seldon.protos.{method}", request, pb.SeldonModelMetadata).message
        assert (got.name, list(got.versions), got.platform) == (
            over_http["name"],
            over_http["versions"],
            over_http["platform"],
        )
        assert dict(got.custom) == over_http["custom"]
        assert plain(got.inputs[0].schema) == over_http["inputs"][0]["schema"]


def test_the_graph_is_this_one_model() -> None:
    got = call(rig(), "/seldon.protos.Seldon/GraphMetadata", pb.Empty(), pb.SeldonGraphMetadata).message
    assert list(got.models) == ["small"]
    assert got.name == "canary"
    assert got.inputs[0] == got.models["small"].inputs[0]


def test_another_model_is_not_found() -> None:
    request = pb.SeldonModelMetadataRequest(name="other")
    answer = call(rig(), "/seldon.protos.Seldon/ModelMetadata", request, pb.SeldonModelMetadata)
    assert answer.code is grpc.StatusCode.NOT_FOUND
