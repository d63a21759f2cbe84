"""The Open Inference Protocol V2: tensors in, tensors out, errors in its shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.scorer.support import BAD, GOOD, NAMES, rig, scorer, v2

INFER = "/v2/models/small/infer"


def change(k: int, **fields: Any) -> dict[str, Any]:
    document = v2(BAD)
    document["inputs"][k] |= fields
    return document


def outputs(answer: Any) -> dict[str, list[Any]]:
    return {output["name"]: output["data"] for output in answer["outputs"]}


@pytest.mark.parametrize("path", [INFER, "/v2/models/infer", "/v2/models/small/versions/1/infer"])
def test_one_tensor_per_feature_gets_the_probability_the_decision_and_its_reasons(path: str) -> None:
    answer = rig().predict({**v2(BAD), "id": "mine"}, path)
    row = dict(zip(NAMES, BAD, strict=True))
    expected = scorer().score(scorer().vectorizer.encode(row)[None, :], "adverse")[0]
    assert answer.status == 200
    assert (answer.json["model_name"], answer.json["model_version"], answer.json["id"]) == (
        "small",
        "1",
        "mine",
    )
    assert answer.headers["seldon-puid"] == "mine"
    made = outputs(answer.json)
    assert made["probability"] == [expected.probability]
    assert made["decision"] == ["decline"]
    assert [reason["code"] for reason in json.loads(made["reasons"][0])] == [r.code for r in expected.reasons]


def test_the_answers_id_is_the_requests_even_where_the_header_names_another() -> None:
    answer = rig().predict({**v2(BAD), "id": "mine"}, INFER, seldon_puid="theirs")
    assert (answer.json["id"], answer.json["parameters"]["puid"]) == ("mine", "theirs")


def test_only_the_outputs_asked_for_are_given() -> None:
    answer = rig().predict({**v2(GOOD), "outputs": [{"name": "decision"}]}, INFER)
    assert list(outputs(answer.json)) == ["decision"]


def test_nested_and_flat_data_are_the_same() -> None:
    flat = rig().predict(v2(BAD), INFER)
    nested = rig().predict(change(0, shape=[1, 1], data=[[900.0]]), INFER)
    assert outputs(flat.json) == outputs(nested.json)


def test_one_matrix_is_refused_only_because_this_model_has_a_category() -> None:
    tensor = {"name": "input-0", "shape": [1, 5], "datatype": "FP64", "data": [1, 2, 0.5, 4, 0.1]}
    answer = rig().predict({"inputs": [tensor]}, INFER)
    assert answer.status == 400
    assert answer.json["error"].startswith("inputs[0].data[0].channel: ")


@pytest.mark.parametrize(
    ("document", "start"),
    [
        pytest.param(b"no", "the body is not JSON", id="not JSON"),
        pytest.param({}, "Object missing required field `inputs`", id="no inputs"),
        pytest.param({"inputs": []}, "inputs: holds no tensor", id="empty inputs"),
        pytest.param(change(0, name="age"), 'inputs[0].name: "age" is not a feature', id="unknown feature"),
        pytest.param(change(1, name="amount"), 'inputs[1].name: "amount" is given twice', id="twice"),
        pytest.param(change(0, datatype="FP8"), 'inputs[0].datatype: "FP8" is not supported', id="datatype"),
        pytest.param(
            change(0, data=["9"]), "inputs[0].data[0]: is a str, which is not FP64", id="text as FP64"
        ),
        pytest.param(change(0, data=[True]), "inputs[0].data[0]: is a bool", id="bool as FP64"),
        pytest.param(
            change(1, data=[1.5]), "inputs[1].data[0]: is a float, which is not INT64", id="1.5 as INT64"
        ),
        pytest.param(
            change(2, data=[7]), "inputs[2].data[0]: is a int, which is not BYTES", id="number as BYTES"
        ),
        pytest.param(change(0, shape=[2]), "inputs[0].shape: [2] does not fit 1 values", id="shape and data"),
        pytest.param(change(0, shape=[-1]), "inputs[0].shape: ", id="negative shape"),
        pytest.param(change(0, shape=[]), "inputs[0].shape: ", id="no shape"),
        pytest.param(change(1, shape=[2], data=[1, 2]), "inputs[1].shape: has 2 rows", id="ragged"),
        pytest.param(change(0, shape=[1, 2], data=[1, 2]), "inputs[0].shape: is [1, 2]", id="two columns"),
        pytest.param(
            change(4, data=[-5.0]), "inputs[4].data[0] (merchant_risk): is -5.0", id="below the range"
        ),
        pytest.param(
            {"inputs": v2(BAD)["inputs"][1:]}, "inputs (amount): is missing", id="a feature left out"
        ),
        pytest.param({**v2(BAD), "outputs": [{"name": "shap"}]}, "outputs[0].name: ", id="unknown output"),
        pytest.param({**v2(BAD), "id": "a\nb"}, "id: ", id="bad id"),
        pytest.param(
            {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": [1, 2, 3, 4]}]},
            "inputs[0].shape: has 4 columns; this model takes 5",
            id="narrow matrix",
        ),
        pytest.param(
            {"inputs": [{"name": "x", "shape": [1, 5], "datatype": "BYTES", "data": ["a"] * 5}]},
            "inputs[0].datatype: is BYTES",
            id="matrix of text",
        ),
    ],
)
def test_a_bad_request_is_refused_in_the_protocols_shape_with_the_field_named(
    document: Any, start: str
) -> None:
    made = rig()
    answer = made.predict(document, INFER)
    assert answer.status == 400
    assert list(answer.json) == ["error"]
    assert answer.json["error"].startswith(start)
    assert made.service.recorder.pending == 0


@pytest.mark.parametrize("path", ["/v2/models/other/infer", "/v2/models/small/versions/2/infer"])
def test_another_model_or_version_is_not_found(path: str) -> None:
    made = rig()
    answer = made.predict(v2(BAD), path)
    assert answer.status == 404
    assert "error" in answer.json
    assert made.metric('serinus_requests_total{code="404",model="small",predictor="canary"}') == 1


def test_metadata_states_the_tensors() -> None:
    answer = rig().call("GET", "/v2/models/small").json
    kinds = {tensor["name"]: tensor["datatype"] for tensor in answer["inputs"]}
    assert kinds["channel"] == "BYTES"
    assert kinds["amount"] == "FP64"
    assert [tensor["name"] for tensor in answer["outputs"]] == ["probability", "score", "decision", "reasons"]
