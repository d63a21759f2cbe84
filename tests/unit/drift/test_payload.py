import json
from typing import Any

import pytest

from serving.drift.payload import PayloadError, read_answers, read_envelope, read_rows

HEADERS = {
    "ce-id": "1",
    "ce-specversion": "1.0",
    "ce-source": "http://scorer/",
    "ce-type": "io.seldon.serving.inference.request",
    "ce-endpoint": "canary",
    "ce-requestid": "r1",
}


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_the_predictor_comes_from_the_endpoint_header() -> None:
    envelope = read_envelope(HEADERS)
    assert (envelope.predictor, envelope.request_id) == ("canary", "r1")
    assert read_envelope({k: v for k, v in HEADERS.items() if k != "ce-endpoint"}).predictor == "default"


@pytest.mark.parametrize("name", ["ce-id", "ce-specversion", "ce-source", "ce-type"])
def test_a_missing_header_is_named(name: str) -> None:
    with pytest.raises(PayloadError, match=name):
        read_envelope({k: v for k, v in HEADERS.items() if k != name})


@pytest.mark.parametrize("endpoint", ["a b", "x" * 64, 'x"y', "é", "-a"])
def test_a_predictor_that_is_no_name_is_refused(endpoint: str) -> None:
    with pytest.raises(PayloadError, match="ce-endpoint"):
        read_envelope({**HEADERS, "ce-endpoint": endpoint})


@pytest.mark.parametrize(
    "document",
    [
        {"data": {"names": ["a", "b"], "ndarray": [[1, "x"], [2, "y"]]}},
        {"data": {"names": ["a", "b"], "tensor": {"shape": [2, 2], "values": [1, "x", 2, "y"]}}},
        {"inputs": [
            {"name": "a", "shape": [2], "datatype": "FP64", "data": [1, 2]},
            {"name": "b", "shape": [2, 1], "datatype": "BYTES", "data": [["x"], ["y"]]},
        ]},
    ],
)  # fmt: skip
def test_all_forms_of_a_request_give_the_same_rows(document: dict[str, Any]) -> None:
    table = read_rows(body(document))
    assert table.names == ("a", "b")
    assert [list(row) for row in table.rows] == [[1, "x"], [2, "y"]]


def test_rows_of_json_data_and_a_single_matrix_are_read() -> None:
    assert list(read_rows(body({"jsonData": {"rows": [{"a": 1}]}})).mappings) == [{"a": 1}]
    matrix = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]}]}
    assert read_rows(body(matrix)).rows == [[1, 2], [3, 4]]
    assert read_rows(b'{"data": {"ndarray": [[NaN, 1]]}}').rows[0][1] == 1


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        (b"", "JSON"), (b"[]", "object"), (b"{}", "none of"), (b'{"data": 3}', "data"),
        (b'{"data": {"ndarray": 3}}', "ndarray"), (b'{"data": {"ndarray": [[1], 2]}}', r"ndarray\[1\]"),
        (b'{"data": {"tensor": {"shape": [2, 3], "values": [1]}}}', "shape"), (b'{"inputs": []}', "inputs"),
        (b'{"inputs": [{"name": "a", "shape": [1], "data": [1]}, {"name": "b", "data": [1, 2]}]}',
         "lengths"),
        (b'{"jsonData": {"rows": [1]}}', r"rows\[0\]"), (b"\xff\xfe", "JSON"), (b"[" * 100_000, "JSON"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_a_payload_error_that_says_where(raw: bytes, names: str) -> None:
    with pytest.raises(PayloadError, match=names):
        read_rows(raw)


def test_probabilities_and_the_models_digest_are_read_from_both_protocols() -> None:
    v1 = {
        "data": {"names": ["probability"], "ndarray": [[0.2], [0.4]]},
        "meta": {"tags": {"digest": "sha256:a"}},
    }
    v2 = {
        "outputs": [
            {"name": "decision", "shape": [2], "datatype": "BYTES", "data": ["approve", "approve"]},
            {"name": "probability", "shape": [2], "datatype": "FP64", "data": [0.2, 0.4]},
        ],
        "parameters": {"digest": "sha256:a"},
    }
    for document in (v1, v2):
        answers = read_answers(body(document))
        assert (answers.digest, answers.probabilities) == ("sha256:a", [0.2, 0.4])


@pytest.mark.parametrize("value", [-0.1, 1.5, 1e200, 1e308, 10**30, float("inf")])
def test_a_score_that_is_no_probability_is_a_payload_error(value: float) -> None:
    """One of them would stay in the sums that performance is estimated from, and spoil each look."""
    for document in (
        {"data": {"ndarray": [[value]]}},
        {"outputs": [{"name": "probability", "data": [value]}]},
    ):
        with pytest.raises(PayloadError, match="probability"):
            read_answers(json.dumps(document).encode())


@pytest.mark.parametrize("document", [{"status": "error"}, {"outputs": []}, {"data": {"ndarray": [["x"]]}}])
def test_an_answer_without_probabilities_is_a_payload_error(document: dict[str, Any]) -> None:
    with pytest.raises(PayloadError):
        read_answers(body(document))
