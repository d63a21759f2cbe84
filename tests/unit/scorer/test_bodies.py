"""Bodies that are compressed, or a form, and the time a sender gives."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from urllib.parse import urlencode

import pytest

from serving.scorer.bodies import Inflating
from tests.unit.scorer.support import BAD, GOOD, rig, v1

BODY = json.dumps(v1(BAD)).encode()
MANY = json.dumps(v1(*[GOOD] * 3000)).encode()  # inflates in a thread


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("identity", BODY),
        ("gzip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("gzip", gzip.compress(MANY)),
    ],
)
def test_a_compressed_body_gets_the_answer_of_the_plain_one(encoding: str, body: bytes) -> None:
    made = rig()
    answer = made.predict(body, content_encoding=encoding)
    assert answer.status == 200
    plain = made.predict(MANY if len(body) > 300 else BODY)
    assert answer.json["data"] == plain.json["data"]


@pytest.mark.parametrize(
    ("encoding", "body", "status", "start"),
    [
        pytest.param("br", BODY, 415, "Content-Encoding: is not supported", id="unknown"),
        pytest.param("gzip", BODY, 400, "Content-Encoding: the body is not gzip", id="not compressed"),
        pytest.param("gzip", gzip.compress(BODY)[:-9], 400, "Content-Encoding: the compressed", id="cut"),
        pytest.param(
            "gzip", gzip.compress(MANY)[:-9], 400, "Content-Encoding: the compressed", id="cut, large"
        ),
        pytest.param("gzip", gzip.compress(b" " * 999_999), 413, "the body inflates to more", id="bomb"),
        pytest.param(
            "gzip", gzip.compress(b" " * 9_999_999), 413, "the body inflates to more", id="large bomb"
        ),
        pytest.param("gzip", b"", 400, "Content-Encoding: the compressed", id="empty"),
    ],
)
def test_a_body_that_cannot_be_inflated_is_refused_by_its_header(
    encoding: str, body: bytes, status: int, start: str
) -> None:
    made = rig(max_body=200_000)
    answer = made.predict(body, content_encoding=encoding)
    assert answer.status == status
    assert answer.json["status"]["info"].startswith(start)
    assert made.metric(f'serinus_requests_total{{code="{status}",model="small",predictor="canary"}}') == 1


@pytest.mark.parametrize(
    ("headers", "status", "start"),
    [
        ({"inference_header_content_length": "3"}, 415, "Inference-Header-Content-Length"),
        ({"content_type": "application/x-www-form-urlencoded"}, 400, "json: is missing"),
    ],
)
@pytest.mark.parametrize("size", [9, 99_999], ids=["small", "inflated in a thread"])
def test_a_compressed_body_whose_other_headers_do_not_fit_is_refused(
    headers: dict[str, str], status: int, start: str, size: int
) -> None:
    made = rig()
    answer = made.predict(gzip.compress(b"a=" + b"b" * size), content_encoding="gzip", **headers)
    assert answer.status == status
    assert answer.json["status"]["info"].startswith(start)
    assert made.metric(f'serinus_requests_total{{code="{status}",model="small",predictor="canary"}}') == 1


def test_a_form_may_hold_the_message_as_seldons_wrapper_takes_it() -> None:
    made = rig()
    form = "application/x-www-form-urlencoded"
    answer = made.predict(urlencode({"json": BODY.decode()}).encode(), content_type=form)
    assert answer.json["data"] == made.predict(BODY).json["data"]
    assert made.predict(BODY, content_type=form).status == 200  # curl -d labels JSON so
    missing = made.predict(b"data=1", content_type=form)
    assert (missing.status, missing.json["status"]["info"][:4]) == (400, "json")
    assert made.predict(b"\xff" * 9, content_type=form).status == 400
    assert made.predict(BODY, content_type="text/plain").status == 200


@pytest.mark.parametrize("header", ["x_request_timeout_ms", "x_envoy_expected_rq_timeout_ms"])
def test_a_request_past_its_deadline_is_not_scored(header: str) -> None:
    clock = [100.0]
    made = rig(clock=lambda: clock[0], polled=lambda: 100.0)
    assert made.predict(BODY, **{header: "50"}).status == 200
    clock[0] += 0.049
    assert made.predict(BODY, **{header: "50"}).status == 200
    clock[0] += 0.001
    late = made.predict(BODY, **{header: "50"})
    assert (late.status, "deadline" in late.json["status"]["info"]) == (503, True)
    assert made.predict(BODY, **{header: "0"}).status == 503
    assert made.metric('serinus_requests_shed_total{model="small",predictor="canary",reason="deadline"}') == 2
    assert made.service.recorder.pending == 2


@pytest.mark.parametrize("value", ["", "soon", "-1", "1.5", "1e3", "9" * 10])
def test_a_deadline_that_is_no_number_is_refused(value: str) -> None:
    answer = rig().predict(BODY, x_request_timeout_ms=value)
    assert answer.status == 400
    assert answer.json["status"]["info"].startswith("X-Request-Timeout-Ms: ")


def test_a_request_that_waited_too_long_for_its_turn_is_shed_with_advice() -> None:
    clock = [100.0]
    made = rig(clock=lambda: clock[0], polled=lambda: 100.0, max_wait=0.5)
    clock[0] += 0.5
    assert made.predict(BODY).status == 200
    clock[0] += 0.1
    answer = made.predict(BODY)
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert made.call("GET", "/live").status == 200
    assert made.metric('serinus_requests_shed_total{model="small",predictor="canary",reason="overload"}') == 1
    assert made.metric('serinus_requests_total{code="429",model="small",predictor="canary"}') == 1


@pytest.mark.parametrize("path", ["/api/v1.0/feedback", "/api/v1.0/events"])
def test_a_large_compressed_body_is_inflated_in_a_thread_wherever_it_goes(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    real = Inflating.finish

    def finish(self: Inflating) -> bytes:
        threads.append(threading.current_thread().name)
        return real(self)

    monkeypatch.setattr(Inflating, "finish", finish)
    made = rig()
    large = b" " * 100_000
    answer = made.call("POST", path, gzip.compress(large), content_encoding="gzip")
    assert answer.status == 400
    assert [name.startswith("batch") for name in threads] == [True]
    damaged = made.call("POST", path, gzip.compress(large)[:-9], content_encoding="gzip")
    assert (damaged.status, "the compressed body ends early" in damaged.json["status"]["info"]) == (400, True)
