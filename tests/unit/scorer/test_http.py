"""Routes, limits and what an operator or a probe asks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serinus import metrics as names
from tests.unit.scorer.support import BAD, GOOD, NAMES, bundle, rig, v1

LABELS = 'model="small",predictor="canary"'


probes = ["/live", "/ready", "/v2/health/live", "/v2/health/ready", "/v2/models/small/ready", "/health/ping"]
probes += [
    "/health/status",
    "/api/v1.0/health/status",
    "/metadata",
    "/api/v1.0/metadata",
    "/v2",
    "/v2/models/small",
]
probes += ["/metrics", "/prometheus"]


@pytest.mark.parametrize("path", probes)
def test_a_ready_scorer_answers_every_probe(path: str) -> None:
    assert rig().call("GET", path).status == 200


def test_a_draining_scorer_is_alive_but_not_ready_and_closes_connections() -> None:
    made = rig()
    made.app.draining = made.listener.draining = True
    assert made.call("GET", "/live").status == 200
    for path in ("/ready", "/v2/health/ready", "/v2/models/small/ready", "/health/status"):
        assert made.call("GET", path).status == 503
    answer = made.predict(v1(GOOD))
    assert answer.status == 200
    assert answer.headers["connection"] == "close"


def test_nothing_is_decided_while_decisions_cannot_be_recorded() -> None:
    made = rig(limit=2)
    assert [made.predict(v1(GOOD)).status for _ in range(3)] == [200, 200, 503]
    assert made.call("GET", "/ready").status == 503
    made.service.recorder.write()
    assert made.predict(v1(GOOD)).status == 200
    assert made.call("GET", "/ready").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/predict", 405),
        ("PUT", "/v2/models/small/infer", 405),
        ("POST", "/metrics", 405),
        ("GET", "/api/v1.0/feedback", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/v2/nowhere", 404),
        ("GET", "/v2/models/small/nowhere", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/", 404),
    ],
)
def test_a_wrong_path_or_method_is_refused_in_the_protocols_shape(
    method: str, path: str, status: int
) -> None:
    answer = rig().call(method, path)
    assert answer.status == status
    assert list(answer.json) == (["error"] if path.startswith("/v2") else ["status"])
    assert ("allow" in answer.headers) == (status == 405)


def test_a_body_beyond_the_limit_is_refused_whether_it_states_its_length_or_not() -> None:
    made = rig(max_body=100)
    body = json.dumps(v1(*[GOOD] * 20)).encode()
    assert made.call("POST", "/predict", body, content_length=str(len(body))).status == 413
    assert made.call("POST", "/predict", [body[:90], body[90:]]).status == 413
    assert made.call("POST", "/predict", json.dumps(v1(GOOD)).encode()).status == 200


def test_a_body_in_pieces_is_put_together() -> None:
    body = json.dumps(v1(BAD)).encode()
    assert rig().call("POST", "/predict", [body[:5], body[5:20], body[20:]]).status == 200


def test_a_large_body_is_scored_in_a_thread_with_the_same_answer() -> None:
    many = rig().predict(v1(*[BAD, GOOD] * 500))
    few = rig().predict(v1(BAD, GOOD))
    assert many.json["data"]["ndarray"] == few.json["data"]["ndarray"] * 500


def test_a_client_that_leaves_before_its_body_is_complete_gets_no_decision() -> None:
    made = rig()
    assert made.call("POST", "/predict", []).status == 0
    assert made.service.recorder.pending == 0


def test_metrics_carry_the_names_of_the_kernel_and_count_by_predictor() -> None:
    made = rig()
    made.predict(v1(GOOD, BAD))
    made.predict({"jsonData": {"rows": [dict(zip(NAMES, [5, 5, "carrier pigeon", 1, 0], strict=True))]}})
    made.predict(b"")
    text = made.call("GET", "/metrics").body.decode()
    for name in (names.REQUESTS, names.LATENCY, names.SCORE, names.DECISIONS, names.INFO, names.DROPPED):
        assert f"\n{name}" in text
    assert made.metric(f'serinus_requests_total{{code="200",{LABELS}}}') == 2
    assert made.metric(f'serinus_requests_total{{code="400",{LABELS}}}') == 1
    assert made.metric(f"model_latency_seconds_count{{{LABELS}}}") == 3
    assert made.metric(f"serinus_score_count{{{LABELS}}}") == 3
    assert made.metric(f'serinus_decisions_total{{decision="decline",{LABELS}}}') == 1
    assert made.metric(f'serinus_unknown_levels_total{{feature="channel",{LABELS}}}') == 1
    assert made.metric(f'serinus_model_info{{digest="{bundle().digest}",{LABELS},version="1"}}') == 1
    for edge in names.LATENCY_EDGES:
        assert f'model_latency_seconds_bucket{{le="{edge}",{LABELS}}}' in text
    assert "_created" not in text


@pytest.mark.parametrize(
    ("channel", "says"),
    [
        (7, "is 7; expected one of its levels as text"),
        (True, "is True; expected one of its levels as text"),
        ("", "is missing, and the contract refuses a missing value"),
        ("NA", "is missing, and the contract refuses a missing value"),
    ],
)
def test_what_is_no_level_is_refused_by_name_and_counts_as_no_unknown_one(channel: object, says: str) -> None:
    made = rig()
    for rows in ([[*GOOD[:2], channel, *GOOD[3:]]], [GOOD, [*GOOD[:2], channel, *GOOD[3:]]]):
        answer = made.predict(v1(*rows))
        assert answer.json["status"]["info"] == f"data.ndarray[{len(rows) - 1}].channel: {says}"
    assert made.metric(f'serinus_unknown_levels_total{{feature="channel",{LABELS}}}') == 0


def test_probes_and_wrong_paths_are_not_counted_as_requests() -> None:
    made = rig()
    for path in ("/ready", "/nowhere", "/metrics"):
        made.call("GET", path)
    assert made.metric(f"model_latency_seconds_count{{{LABELS}}}") == 0


@pytest.mark.parametrize(
    ("mode", "skip", "kinds"),
    [
        ("all", "", ["request", "response"]),
        ("request", "", ["request"]),
        ("response", "", ["response"]),
        ("all", "true", []),
    ],
)
def test_payloads_go_to_the_monitor_as_configured(mode: str, skip: str, kinds: list[str]) -> None:
    made = rig(payload_mode=mode)
    answer = made.predict(v1(GOOD), seldon_puid="p", seldon_skip_logging=skip)
    prefix = "io.seldon.serving.inference."
    assert [(kind.removeprefix(prefix), puid) for kind, puid, _, _ in made.payloads.kept] == [
        (k, "p") for k in kinds
    ]
    bodies: dict[str, Any] = {kind.removeprefix(prefix): body for kind, _, _, body in made.payloads.kept}
    assert bodies.get("response", answer.body) == answer.body


def test_a_refused_request_is_shown_to_the_monitor_but_has_no_response_event() -> None:
    made = rig()
    made.predict(b"broken")
    assert [kind for kind, *_ in made.payloads.kept] == ["io.seldon.serving.inference.request"]
