"""The Seldon V1 protocol: what is understood, what is refused and how it is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.scorer.support import BAD, GOOD, NAMES, NOW, bundle, rig, scorer, v1

ROW = dict(zip(NAMES, BAD, strict=True))
REVERSED = {"names": NAMES[::-1], "ndarray": [BAD[::-1]]}


@pytest.mark.parametrize("path", ["/api/v1.0/predictions", "/predict", "/api/v0.1/predictions"])
@pytest.mark.parametrize(
    "document",
    [
        pytest.param(v1(BAD), id="ndarray in the contract's order"),
        pytest.param(v1(BAD, names=NAMES), id="ndarray with names"),
        pytest.param({"data": REVERSED}, id="ndarray with names in another order"),
        pytest.param({"jsonData": {"rows": [ROW]}}, id="jsonData"),
        pytest.param(
            {"jsonData": {"rows": [{k: v for k, v in ROW.items() if v is not None}]}}, id="missing left out"
        ),
        pytest.param({"meta": {"tags": {"a": 1}}, **v1(BAD)}, id="meta passes"),
    ],
)
def test_every_form_of_a_row_gets_the_same_answer(document: dict[str, Any], path: str) -> None:
    answer = rig().predict(document, path)
    expected = scorer().score(scorer().vectorizer.encode(ROW)[None, :], "adverse")[0]
    assert answer.status == 200
    assert answer.json["data"] == {"names": ["probability"], "ndarray": [[expected.probability]]}
    decision = answer.json["meta"]["tags"]["decisions"][0]
    assert decision["score"] == expected.score
    assert decision["decision"] == "decline"
    assert (
        [reason["code"] for reason in decision["reasons"]]
        == [reason.code for reason in expected.reasons]
        != []
    )
    tags = {name: value for name, value in answer.json["meta"]["tags"].items() if name != "decisions"}
    assert tags == {
        "model": "small",
        "version": 1,
        "digest": bundle().digest,
        "predictor": "canary",
    }
    assert answer.headers["x-serinus-predictor"] == "canary"
    assert answer.headers["x-serinus-digest"] == bundle().digest
    assert answer.headers["seldon-puid"] == answer.json["meta"]["puid"]


def test_a_tensor_names_its_categorical_column_when_it_holds_a_number_that_is_no_level() -> None:
    document = {"data": {"tensor": {"shape": [1, 5], "values": [1.5, 2, 1.5, 0, 0]}}}
    answer = rig().predict(document)
    assert answer.status == 400
    assert answer.json["status"]["info"].startswith("data.tensor[0].channel: ")


def test_a_tensor_of_named_numbers_is_scored() -> None:
    names = [name for name in NAMES if name != "channel"]
    document = {
        "data": {"names": names, "tensor": {"shape": [2, 4], "values": [1, 2, 3, 0.1, 4, 5, None, 0.2]}}
    }
    # The channel is left out and the contract refuses that: the field is named, in the first row.
    answer = rig().predict(document)
    assert answer.json["status"]["info"].startswith("data.tensor[0].channel: is missing")


@pytest.mark.parametrize(
    ("document", "start"),
    [
        pytest.param(b"", "the body is empty", id="no body"),
        pytest.param(b"{", "the body is not JSON", id="half an object"),
        pytest.param(b"[]", "Expected `object`", id="not an object"),
        pytest.param(b'{"data":{"ndarray":[[NaN,1,"chip",1,0]]}}', "the body is not JSON", id="NaN"),
        pytest.param(
            b'{"data":{"ndarray":[[-Infinity,1,"chip",1,0]]}}', "the body is not JSON", id="Infinity"
        ),
        pytest.param(
            b'{"data":{"ndarray":[[1e999,1,"chip",1,0]]}}', "data.ndarray[0][0]: ", id="beyond a double"
        ),
        pytest.param(b'{"data":{"ndarray":[["\xff",1,"chip",1,0]]}}', "the body is not JSON", id="not UTF-8"),
        pytest.param(b'{"data":{"ndarray":' + b"[" * 9999, "", id="deep"),
        pytest.param({}, "give exactly one of data", id="neither data nor jsonData"),
        pytest.param({**v1(GOOD), "jsonData": {"rows": []}}, "give exactly one of data", id="both"),
        pytest.param({"data": {}}, "data: give exactly one of ndarray and tensor", id="empty data"),
        pytest.param({"strData": "x"}, "Object contains unknown field `strData`", id="strData"),
        pytest.param(
            {"data": {"name": NAMES, "ndarray": [GOOD]}}, "data: Object contains", id="misspelt names"
        ),
        pytest.param(v1(), "data.ndarray: holds no rows", id="no rows"),
        pytest.param({"jsonData": {"rows": []}}, "jsonData.rows: holds no rows", id="no json rows"),
        pytest.param({"data": {"ndarray": GOOD}}, "data.ndarray[0]: Expected `array`", id="one-dimensional"),
        pytest.param(v1(GOOD[:4]), "data.ndarray[0]: has 4 columns; expected 5", id="too few columns"),
        pytest.param(v1(GOOD, [*GOOD, 1]), "data.ndarray[1]: has 6 columns", id="too many, second row"),
        pytest.param(
            v1(GOOD, names=[*NAMES[:4], "sex"]), 'data.names[4]: "sex" is not a feature', id="protected name"
        ),
        pytest.param(
            v1(GOOD, names=[*NAMES[:4], "hour"]), 'data.names[4]: "hour" is given twice', id="twice"
        ),
        pytest.param(
            {"jsonData": {"rows": [{**ROW, "sex": "f"}]}}, "jsonData.rows[0].sex: ", id="protected value"
        ),
        pytest.param(v1(["a", *GOOD[1:]]), "data.ndarray[0].amount: ", id="text for a number"),
        pytest.param(v1([-1, *GOOD[1:]]), "data.ndarray[0].amount: ", id="below the range"),
        pytest.param(v1([None, *GOOD[1:]]), "data.ndarray[0].amount: is missing", id="refused missing"),
        pytest.param(v1([10**400, *GOOD[1:]]), "data.ndarray[0]", id="an integer beyond floats"),
        pytest.param(
            {"data": {"tensor": {"shape": [2, 5], "values": [1]}}}, "data.tensor.shape: ", id="shape"
        ),
        pytest.param({"data": {"tensor": {"shape": [], "values": []}}}, "data.tensor.shape: ", id="no shape"),
        pytest.param(
            {"data": {"tensor": {"shape": [0, 5], "values": []}}}, "data.tensor.shape: ", id="zero rows"
        ),
        pytest.param({**v1(GOOD), "meta": {"puid": "x" * 129}}, "meta.puid: ", id="long id in the body"),
    ],
)
def test_a_bad_request_is_refused_in_seldons_shape_with_the_field_named(document: Any, start: str) -> None:
    made = rig()
    answer = made.predict(document)
    status = answer.json["status"]
    assert answer.status == 400
    assert (status["code"], status["status"], status["reason"]) == (400, "FAILURE", "MICROSERVICE_BAD_DATA")
    assert status["info"].startswith(start)
    assert answer.headers["x-serinus-predictor"] == "canary"
    assert made.service.recorder.pending == 0
    assert made.metric('serinus_requests_total{code="400",model="small",predictor="canary"}') == 1


def test_an_error_never_quotes_more_than_a_line_of_the_request() -> None:
    answer = rig().predict(v1(["x" * 100_000, *GOOD[1:]]))
    assert answer.status == 400
    assert len(answer.body) < 1000


def test_reasons_are_given_for_adverse_decisions_only_unless_asked_otherwise() -> None:
    def reasons(explain: Any) -> list[int]:
        answer = rig(explain=explain).predict(v1(GOOD, BAD))
        return [len(decision["reasons"]) for decision in answer.json["meta"]["tags"]["decisions"]]

    assert reasons("adverse") == [0, 3]
    assert reasons("never") == [0, 0]
    assert reasons("always")[1] == 3


def test_the_request_id_is_the_headers_else_the_bodys_else_made() -> None:
    made = rig()
    body = {**v1(GOOD), "meta": {"puid": "from-body"}}
    assert made.predict(body, seldon_puid="from-header").headers["seldon-puid"] == "from-header"
    assert made.predict(body).headers["seldon-puid"] == "from-body"
    first, second = (made.predict(v1(GOOD)).headers["seldon-puid"] for _ in range(2))
    assert first != second
    assert len(first) == 32


@pytest.mark.parametrize("puid", ["", "x" * 129, "caf\xe9", "a\tb"])
def test_a_request_id_that_cannot_be_logged_is_refused(puid: str) -> None:
    answer = rig().predict(v1(GOOD), seldon_puid=puid)
    assert answer.status == 400
    assert answer.json["status"]["info"].startswith("Seldon-Puid: ")


def test_every_decision_is_recorded_with_the_vector_that_was_scored() -> None:
    made = rig()
    made.predict(v1(BAD), seldon_puid="one")
    made.predict(v1(GOOD, BAD), seldon_puid="two")
    assert made.service.recorder.write() == 3
    assert [event.id for event in made.sink.events] == ["one", "two.0", "two.1"]
    data = made.sink.events[0].data
    assert data.features == (900.0, 3.0, 1.0, None, 0.4)
    assert made.sink.events[0].time == "2026-09-21T14:13:20.000000Z"
    vector = np.array([[np.nan if value is None else value for value in data.features]])
    assert scorer().score(vector, "never")[0].probability == data.probability
    assert NOW == 1_790_000_000.0
