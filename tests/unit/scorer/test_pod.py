"""The environment that Seldon's operator gives a model container, read as flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serving.scorer.config import Settings, parse
from serving.scorer.http1 import Request
from serving.scorer.metrics_port import MetricsApp
from tests.unit.scorer.support import GOOD, rig, v1

# As the operator (1.17.1) sets it for a container that is a node of the graph.
POD = {
    "PREDICTIVE_UNIT_SERVICE_PORT": "9000",
    "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "9001",
    "PREDICTIVE_UNIT_GRPC_SERVICE_PORT": "9501",
    "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": "6001",
    "PREDICTIVE_UNIT_METRICS_ENDPOINT": "/prometheus",
    "PREDICTIVE_UNIT_PARAMETERS": "[]",
    "PREDICTIVE_UNIT_ID": "classifier",
    "PREDICTOR_ID": "canary",
    "SELDON_DEPLOYMENT_ID": "shop",
    "MLSERVER_MODEL_URI": "/mnt/models",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
}


def read(*arguments: str, parameters: Any = None, **environment: str) -> Settings:
    given = {**POD, **environment}
    if parameters is not None:
        given["PREDICTIVE_UNIT_PARAMETERS"] = json.dumps(parameters)
    return parse(arguments, given)


def test_a_pods_environment_alone_is_enough() -> None:
    made = read()
    assert made.bundle == Path("/mnt/models")
    assert (made.host, made.port, made.grpc_port, made.metrics_port) == ("0.0.0.0", 9001, 9501, 6001)
    assert (made.metrics_path, made.model, made.predictor) == ("/prometheus", "classifier", "canary")
    assert made.deployment == "shop"


def test_outside_a_pod_only_http_listens_and_only_here() -> None:
    made = parse(["--bundle", "b"], {})
    assert (made.host, made.port, made.grpc_port, made.metrics_port) == ("127.0.0.1", 9000, None, None)
    assert parse(["--bundle", "b"], {"PREDICTIVE_UNIT_SERVICE_PORT": "8000"}).port == 8000


def test_the_graphs_parameters_are_flags_by_name_and_type() -> None:
    made = read(
        parameters=[
            {"name": "model_uri", "value": "/mnt/other", "type": "STRING"},
            {"name": "explain", "value": "always", "type": "STRING"},
            {"name": "explain_sample", "value": "0.5", "type": "FLOAT"},
            {"name": "max-body", "value": 1000, "type": "INT"},
            {"name": "durability", "value": "strict"},
            {"name": "untrusted", "value": "true", "type": "BOOL"},
            {"name": "reuse_port", "value": "false", "type": "BOOL"},
        ]
    )
    assert made.bundle == Path("/mnt/other")
    assert (made.explain, made.explain_sample, made.max_body) == ("always", 0.5, 1000)
    assert (made.durability, made.untrusted, made.reuse_port) == ("strict", True, False)


def test_the_command_line_counts_before_the_parameters_and_they_before_the_environment() -> None:
    parameters = [{"name": "predictor", "value": "from-parameters"}, {"name": "model", "value": "also"}]
    made = read("--model", "from-the-line", parameters=parameters)
    assert (made.predictor, made.model) == ("from-parameters", "from-the-line")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"name": "explain"}, "PREDICTIVE_UNIT_PARAMETERS is not a list of parameters"),
        ([{"name": "explain"}], "Object missing required field `value`"),
        ([{"name": "speed", "value": "high"}], 'there is no parameter "speed"'),
        ([{"name": "help", "value": "true"}], 'there is no parameter "help"'),
        ([{"name": "untrusted", "value": "perhaps"}], 'untrusted is "perhaps"; expected true or false'),
        ([{"name": "explain", "value": "loudly"}], "invalid choice: 'loudly'"),
    ],
)
def test_a_wrong_parameter_ends_with_2_and_is_named(
    parameters: Any, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        read(parameters=parameters)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("path", ["prometheus", "/a b", "/ä"])
def test_a_metrics_path_is_a_path(path: str) -> None:
    with pytest.raises(SystemExit):
        read(PREDICTIVE_UNIT_METRICS_ENDPOINT=path)


def asked(method: bytes, url: bytes) -> Request:
    request = Request()
    request.method, request.url = method, url
    return request


def test_the_metrics_port_has_the_metrics_at_its_path_and_nothing_else() -> None:
    made = rig()
    made.predict(v1(GOOD))
    app: Any = MetricsApp(made.app.metrics, "/prometheus", made.app.stamp)
    for url in (b"/prometheus", b"/prometheus?name[]=x"):
        reply = app.answer(asked(b"GET", url))
        assert reply.status == 200
        assert b'serinus_requests_total{code="200",model="small",predictor="canary"} 1.0' in reply.body
    assert app.answer(asked(b"POST", b"/prometheus")).status == 405
    assert app.answer(asked(b"POST", b"/api/v1.0/predictions")).status == 404
