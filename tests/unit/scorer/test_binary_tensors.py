"""Binary tensors behind a V2 message's JSON, in both directions."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.scorer import binary
from serving.scorer.framing import Framed
from tests.unit.scorer.support import BAD, GOOD, NAMES, Answered, Rig, rig, v2

INFER = "/v2/models/small/infer"
KINDS = ["FP64", "INT64", "BYTES", "FP32", "FP64"]


def pack(kind: str, values: list[Any]) -> bytes:
    if kind == "BYTES":
        return b"".join(struct.pack("<I", len(v.encode())) + v.encode() for v in values)
    numbers = [np.nan if value is None else value for value in values]
    return np.array(numbers, dtype={"FP64": "<f8", "FP32": "<f4", "INT64": "<i8"}[kind]).tobytes()


def send(made: Rig, inputs: list[tuple[str, str, list[Any]]], **more: Any) -> Answered:
    parts = [pack(kind, values) for _, kind, values in inputs]
    head = json.dumps(
        {
            "inputs": [
                {"name": n, "shape": [len(v)], "datatype": k, "parameters": {"binary_data_size": len(part)}}
                for (n, k, v), part in zip(inputs, parts, strict=True)
            ],
            **more,
        }
    ).encode()
    body = head + b"".join(parts)
    return made.predict(body, INFER, inference_header_content_length=str(len(head)))


def columns(*rows: list[Any]) -> list[tuple[str, str, list[Any]]]:
    return [(n, k, list(values)) for n, k, values in zip(NAMES, KINDS, zip(*rows, strict=True), strict=True)]


def outputs(answer: Answered) -> dict[str, Any]:
    length = int(answer.headers.get("inference-header-content-length", len(answer.body)))
    document = json.loads(binary.as_json(Framed.of(answer.body, length)))
    return {output["name"]: output["data"] for output in document["outputs"]}


def test_binary_values_get_the_answer_of_json_values() -> None:
    made = rig()
    good = [20.0, 12, "chip", 3.0, 0.01]
    answer = send(made, columns(good, BAD))
    assert answer.status == 200
    expected = [outputs(made.predict(v2(row), INFER)) for row in (good, BAD)]
    assert outputs(answer)["probability"] == [one["probability"][0] for one in expected]
    assert outputs(answer)["decision"] == ["approve", "decline"]
    assert (
        made.payloads.kept[0][3]
        == json.dumps(
            {
                "inputs": [
                    {"name": n, "shape": [2], "datatype": k, "parameters": {}, "data": list(v)}
                    for n, k, v in columns(good, BAD)
                ]
            },
            separators=(",", ":"),
        ).encode()
    )


def test_outputs_come_in_binary_where_they_are_asked_for() -> None:
    made = rig()
    plain = outputs(made.predict(v2(BAD), INFER))
    document = {**v2(BAD), "parameters": {"binary_data_output": True}}
    answer = made.predict(document, INFER)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert outputs(answer) == plain
    document = {
        **v2(BAD),
        "outputs": [{"name": "score"}, {"name": "reasons", "parameters": {"binary_data": True}}],
    }
    answer = made.predict(document, INFER)
    head = json.loads(answer.body[: int(answer.headers["inference-header-content-length"])])
    assert [sorted(output) for output in head["outputs"]] == [
        ["data", "datatype", "name", "shape"],
        ["datatype", "name", "parameters", "shape"],
    ]
    assert outputs(answer) == {name: plain[name] for name in ("score", "reasons")}
    assert json.loads(made.payloads.kept[-1][3])["outputs"][0]["data"] == plain["score"]


def test_floats_of_either_width_are_read_and_nan_is_missing() -> None:
    values = np.array([[1.0, np.nan], [3.5, 4.0]])
    for dtype, kind in (("<f8", "FP64"), ("<f4", "FP32")):
        data = values.astype(dtype).tobytes()
        tensor = binary_input(kind, [2, 2], data)
        found = binary.unpacked(tensor, Framed.of(b"{}" + data, 2))
        assert found[0].data == [1.0, None, 3.5, 4.0]


def binary_input(kind: str, shape: list[int], data: bytes, **parameters: Any) -> Any:
    from serving.scorer.v2 import Input, Request

    named = {"binary_data_size": len(data), **parameters}
    return Request(inputs=[Input(name="x", shape=shape, datatype=kind, parameters=named)])


@settings(deadline=None)
@given(st.lists(st.text(max_size=5), min_size=1, max_size=5))
def test_text_survives_the_packing(texts: list[str]) -> None:
    data = binary.packed(texts)
    request = binary_input("BYTES", [len(texts)], data)
    assert binary.unpacked(request, Framed.of(b"{}" + data, 2))[0].data == texts


@settings(deadline=None)
@given(
    st.binary(max_size=60), st.sampled_from(["BYTES", "FP32", "BOOL", "INT64", "FP8"]), st.integers(-2, 70)
)
def test_any_bytes_behind_the_json_are_answered_below_500(data: bytes, kind: str, size: int) -> None:
    head = {
        "inputs": [
            {"name": "amount", "shape": [1], "datatype": kind, "parameters": {"binary_data_size": size}}
        ]
    }
    text = json.dumps(head).encode()
    answer = RIG.predict(text + data, INFER, inference_header_content_length=str(len(text)))
    assert answer.status == 400
    assert "error" in answer.json


RIG = rig(limit=10**9)


@pytest.mark.parametrize(
    ("change", "start"),
    [
        ({"binary_data_size": 7}, "inputs[0].parameters.binary_data_size: is 7; FP64 of shape [1] has 8"),
        ({"binary_data_size": 9}, "inputs[0].parameters.binary_data_size: is 9; 8 bytes are left"),
        ({"binary_data_size": "8"}, "inputs[0].parameters.binary_data_size: is not a number"),
        ({}, "inputs: 8 bytes behind the JSON belong to no tensor"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change: dict[str, Any], start: str) -> None:
    head = json.dumps(
        {"inputs": [{"name": "amount", "shape": [1], "datatype": "FP64", "parameters": change}]}
    ).encode()
    answer = rig().predict(head + bytes(8), INFER, inference_header_content_length=str(len(head)))
    assert answer.json["error"].startswith(start)


@pytest.mark.parametrize("length", ["", "-1", "99999", "many"])
def test_a_length_outside_the_body_is_refused(length: str) -> None:
    answer = rig().predict(v2(GOOD), INFER, inference_header_content_length=length)
    assert (answer.status, answer.json["error"][:31]) == (400, "Inference-Header-Content-Length")


def test_binary_tensors_are_not_read_in_the_other_protocol() -> None:
    assert rig().predict(b"{}", inference_header_content_length="2").status == 415


def test_an_infinite_number_is_refused() -> None:
    answer = send(rig(), [("amount", "FP64", [np.inf])])
    assert answer.json["error"].startswith("inputs[0][0]: is infinite")
