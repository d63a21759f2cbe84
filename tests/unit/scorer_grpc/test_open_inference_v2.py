"""Open Inference V2 over gRPC: typed and raw tensors, what is refused, and the answer's form."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from serinus.scoring import Scorer
from serving.scorer.grpc import messages as pb
from serving.scorer.grpc.tensors import raw_texts
from tests.support.numeric import numeric_bundle
from tests.unit.scorer.support import BAD, GOOD, NAMES, bundle, rig, scorer, v2
from tests.unit.scorer_grpc.support import KINDS, call, columns, infer

FORMATS = {"FP64": "<d", "INT64": "<q"}


def raw(message: Any) -> Any:
    """The same request with raw contents."""
    for tensor in message.inputs:
        contents = tensor.contents
        if tensor.datatype == "BYTES":
            message.raw_input_contents.append(raw_texts(contents.bytes_contents))
        else:
            values = contents.fp64_contents or contents.int64_contents
            message.raw_input_contents.append(
                b"".join(struct.pack(FORMATS[tensor.datatype], v) for v in values)
            )
        tensor.ClearField("contents")
    return message


def read(answer: Any) -> dict[str, list[Any]]:
    """Outputs by name, typed or raw, as plain values."""
    found: dict[str, list[Any]] = {}
    for k, tensor in enumerate(answer.outputs):
        assert next(iter(tensor.shape)) > 0
        if not answer.raw_output_contents:
            contents = tensor.contents
            values = list(contents.fp64_contents) or [v.decode() for v in contents.bytes_contents]
        elif tensor.datatype == "FP64":
            values = np.frombuffer(answer.raw_output_contents[k], "<f8").tolist()
        else:
            values, rest = [], answer.raw_output_contents[k]
            while rest:
                (length,) = struct.unpack_from("<I", rest)
                values.append(rest[4 : 4 + length].decode())
                rest = rest[4 + length :]
        found[tensor.name] = values
    return found


@pytest.mark.parametrize(
    "form", [columns, lambda *rows, **kw: raw(columns(*rows, **kw))], ids=["typed", "raw"]
)
def test_both_forms_of_a_tensor_get_the_answer_that_http_gives(form: Callable[..., Any]) -> None:
    made = rig()
    over_http = made.predict(v2(BAD), "/v2/models/small/infer", seldon_puid="r-1").json
    answer = infer(made, form(BAD, request_id="mine"), seldon_puid="r-1")
    assert answer.code is grpc.StatusCode.OK
    expected = {output["name"]: output["data"] for output in over_http["outputs"]}
    assert read(answer.message) == expected
    assert json.loads(expected["reasons"][0]) != []
    assert [(o.name, o.datatype, list(o.shape)) for o in answer.message.outputs] == [
        (o["name"], o["datatype"], o["shape"]) for o in over_http["outputs"]
    ]
    assert (answer.message.model_name, answer.message.model_version) == ("small", "1")
    assert (answer.message.id, answer.trailing["seldon-puid"]) == ("mine", "r-1")
    parameters = {name: value.string_param for name, value in answer.message.parameters.items()}
    assert parameters == over_http["parameters"]


def test_an_answer_is_raw_only_where_the_request_was() -> None:
    assert len(infer(rig(), raw(columns(GOOD))).message.raw_output_contents) == 4
    assert len(infer(rig(), columns(GOOD)).message.raw_output_contents) == 0


def test_only_the_outputs_asked_for_come_back() -> None:
    message = columns(BAD, GOOD)
    for name in ("decision", "probability"):
        message.outputs.add(name=name)
    got = read(infer(rig(), message).message)
    assert list(got) == ["decision", "probability"]
    assert got["decision"] == ["decline", "approve"]


def test_the_id_is_the_request_id_where_no_metadata_gives_one() -> None:
    assert infer(rig(), columns(GOOD, request_id="mine")).trailing["seldon-puid"] == "mine"


def test_an_empty_model_name_means_the_one_that_is_served() -> None:
    message = columns(GOOD)
    message.model_name = ""
    assert infer(rig(), message).code is grpc.StatusCode.OK


@pytest.fixture(scope="module")
def numeric(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """A model without categories, which takes a matrix."""
    return Scorer(numeric_bundle(tmp_path_factory.mktemp("numeric")))


def matrix(kind: str, values: np.ndarray[Any, Any], *, as_raw: bool) -> Any:
    message = pb.ModelInferRequest(model_name="small")
    tensor = message.inputs.add(name="rows", datatype=kind, shape=values.shape)
    if as_raw:
        message.raw_input_contents.append(values.astype({"FP64": "<f8", "FP32": "<f4"}[kind]).tobytes())
    else:
        getattr(tensor.contents, {"FP64": "fp64_contents", "FP32": "fp32_contents"}[kind]).extend(
            values.ravel()
        )
    return message


@pytest.mark.parametrize("as_raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("kind", ["FP64", "FP32"])
def test_a_matrix_of_numbers_is_scored_row_by_row(numeric: Scorer, kind: str, as_raw: bool) -> None:
    names = numeric.vectorizer.names
    rows = np.array([[20.0, 12, np.nan, 0.25], [900.0, 3, 5.0, 0.5]])[:, : len(names)]
    answer = infer(rig(model=numeric), matrix(kind, rows, as_raw=as_raw))
    assert answer.code is grpc.StatusCode.OK, answer.details
    expected = [a.probability for a in numeric.score(rows, "never")]
    assert read(answer.message)["probability"] == expected


def test_a_matrix_names_the_cell_that_the_contract_refuses(numeric: Scorer) -> None:
    rows = np.array([[20.0, 12, 1, 0.25], [20.0, 99, 5.0, 0.5]])
    answer = infer(rig(model=numeric), matrix("FP64", rows, as_raw=True))
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.details.startswith("inputs[0].data[1].hour: ")


def change(tensor: int, **fields: Any) -> Callable[[Any], None]:
    def work(message: Any) -> None:
        for name, value in fields.items():
            target = message.inputs[tensor]
            if name == "shape":
                del target.shape[:]
                target.shape.extend(value)
            else:
                setattr(target, name, value)

    return work


def no_text(message: Any) -> None:
    message.inputs[2].contents.bytes_contents[0] = b"\xff"


def other_field(message: Any) -> None:
    message.inputs[0].contents.ClearField("fp64_contents")
    message.inputs[0].contents.fp32_contents.append(1)


def wanted(message: Any) -> None:
    message.outputs.add(name="price")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda m: m.ClearField("inputs"), "inputs: holds no tensor"),
        (change(0, name="sex"), 'inputs[0].name: "sex" is not a feature'),
        (change(0, datatype="FP16"), 'inputs[0].datatype: "FP16" has no typed contents'),
        (change(0, datatype="JPEG"), 'inputs[0].datatype: "JPEG"'),
        (change(1, shape=[2]), "inputs[1].shape: [2] does not fit 1 values"),
        (change(1, shape=[-1]), "inputs[1].shape: "),
        (change(0, shape=[1, 1, 1]), "inputs[0].shape: "),
        (other_field, "inputs[0].contents: holds fp32_contents; FP64 is in fp64_contents"),
        (no_text, "inputs[2].data[0]: is not UTF-8"),
        (wanted, 'outputs[0].name: "price" is not an output'),
        (lambda m: m.CopyFrom(columns([float("inf"), *GOOD[1:]])), "inputs[0].data[0] (amount): is infinite"),
        (lambda m: m.CopyFrom(columns([None, *GOOD[1:]])), "inputs[0].data[0] (amount): is missing"),
        (lambda m: setattr(m, "id", "x" * 200), "id: "),
        (lambda m: m.raw_input_contents.append(b""), "raw_input_contents: has 1 entries for 5 inputs"),
        (lambda m: m.raw_input_contents.extend([b""] * 5), "inputs[0].contents: must not be given beside"),
    ],
)
def test_a_bad_request_is_an_invalid_argument_that_names_the_field(
    spoil: Callable[[Any], None], words: str
) -> None:
    made, message = rig(), columns(GOOD)
    spoil(message)
    answer = infer(made, message)
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.details.startswith(words)
    assert made.reported == []
    assert made.metric('serinus_requests_total{code="400",model="small",predictor="canary"}') == 1


def longer(message: Any) -> None:
    message.raw_input_contents[0] = b"\x00" * 9


def cut(message: Any) -> None:
    message.raw_input_contents[2] = message.raw_input_contents[2][:-1]


def lengthless(message: Any) -> None:
    message.raw_input_contents[2] = b"\x01\x00"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (longer, "raw_input_contents[0]: has 9 bytes; FP64 of shape [1] has 8"),
        (cut, "raw_input_contents[2]: ends within element 0"),
        (lengthless, "raw_input_contents[2]: ends within element 0"),
        (change(0, shape=[0]), "raw_input_contents[0]: "),
        (change(0, shape=[2**62, 2**62]), "raw_input_contents[0]: "),
    ],
)
def test_raw_contents_that_do_not_fit_are_refused(spoil: Callable[[Any], None], words: str) -> None:
    message = raw(columns(GOOD))
    spoil(message)
    answer = infer(rig(), message)
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.details.startswith(words)


def test_the_drift_monitor_gets_json_it_can_read() -> None:
    made = rig()
    infer(made, raw(columns(BAD, request_id="q")))
    request, response = (json.loads(body) for *_, body in made.payloads.kept)
    assert [(t["name"], t["datatype"], t["data"]) for t in request["inputs"]] == [
        (name, kind, [value]) for name, kind, value in zip(NAMES, KINDS, BAD, strict=True)
    ]
    expected = scorer().score(
        scorer().vectorizer.encode(dict(zip(NAMES, BAD, strict=True)))[None, :], "adverse"
    )
    assert response["outputs"][0]["data"] == [expected[0].probability]
    assert response["parameters"]["digest"] == bundle().digest


def test_a_refused_request_does_not_break_the_drift_monitors_copy() -> None:
    made, message = rig(), raw(columns(GOOD))
    longer(message)
    infer(made, message)
    assert [body for *_, body in made.payloads.kept] == [b"{}"]


@pytest.mark.parametrize(("name", "version"), [("other", ""), ("small", "2")])
@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata", "ModelInfer"])
def test_another_model_or_version_is_not_found(method: str, name: str, version: str) -> None:
    message = {
        "ModelReady": pb.ModelReadyRequest(name=name, version=version),
        "ModelMetadata": pb.ModelMetadataRequest(name=name, version=version),
        "ModelInfer": pb.ModelInferRequest(model_name=name, model_version=version),
    }[method]
    answer = call(rig(), f"/inference.GRPCInferenceService/{method}", message, pb.Empty)
    assert answer.code is grpc.StatusCode.NOT_FOUND


def test_metadata_says_what_http_says() -> None:
    made = rig()
    over_http = made.call("GET", "/v2/models/small").json
    request = pb.ModelMetadataRequest(name="small", version="1")
    got = call(
        made, "/inference.GRPCInferenceService/ModelMetadata", request, pb.ModelMetadataResponse
    ).message
    for side in ("inputs", "outputs"):
        tensors = [
            {"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in getattr(got, side)
        ]
        assert tensors == over_http[side]
    assert (got.name, list(got.versions), got.platform) == ("small", ["1"], over_http["platform"])
