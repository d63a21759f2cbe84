"""What is asked of a KFP server, and how its refusals and silences read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import kfp_server_api
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.errors import SerinusError
from serinus.kfp import Answer, HttpServer, KfpClient, KfpError, MemoryServer, Stopped, read_parameters
from tests.support.kfp_server import KfpServer, check, operations


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    server = KfpServer()
    yield server
    server.close()


class Time:
    """Moves only when somebody waits."""

    def __init__(self, stop_after: int = 10_000) -> None:
        self.now, self.left = 0.0, stop_after

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        self.left -= 1
        return self.left <= 0


def client(server: Any, time: Time | None = None, **more: Any) -> KfpClient:
    time = time or Time()
    return KfpClient(server, clock=time, wait=time.wait, **more)


def test_a_pipeline_is_published_once_under_its_contents_name(kfp: KfpServer) -> None:
    one = client(HttpServer(kfp.url))
    pipeline, version, new = one.upload("credit", "ir-1", b"spec: 1\n")
    assert (new, kfp.uploads) == (True, {"ir-1": b"spec: 1\n"})
    assert one.upload("credit", "ir-1", b"spec: 1\n") == (pipeline, version, False)
    assert one.upload("credit", "ir-2", b"\r\n--\r\n\x00")[0] == pipeline
    assert kfp.uploads["ir-2"] == b"\r\n--\r\n\x00"
    assert one.version(pipeline) == "ir-2", "the latest"
    assert one.version(pipeline, "ir-9") is None


def test_lost_answers_to_creations_double_nothing(kfp: KfpServer) -> None:
    one = client(HttpServer(kfp.url))
    for make in (
        lambda: one.upload("credit", "ir-1", b"spec: 1\n"),
        lambda: one.upload("credit", "ir-2", b"spec: 2\n"),
        lambda: one.create("runs", {"display_name": "a", "experiment_id": "e1"}),
        lambda: one.create("recurringruns", {"display_name": "a", "experiment_id": "e1"}),
    ):
        kfp.lose_answer_of_create = True
        make()
        assert not kfp.lose_answer_of_create
    assert len(kfp.pipelines) == 2
    assert len([v for v in kfp.versions if v["pipeline_id"] == "p2"]) == 2
    assert (len(kfp.runs), len(kfp.recurring)) == (1, 1)


def test_a_namespace_goes_with_everything_that_has_one(kfp: KfpServer) -> None:
    one = client(HttpServer(kfp.url), namespace="team-a")
    one.upload("credit", "ir-1", b"x")
    one.experiment("serinus", "")
    assert kfp.pipelines["p2"]["namespace"] == "team-a"
    assert kfp.experiments[0]["namespace"] == "team-a"


def test_a_refusal_gives_the_servers_own_words(kfp: KfpServer) -> None:
    kfp.refuse = [403]
    with pytest.raises(KfpError, match=r"refused GET /pipelines/names/x \(403\): try later") as caught:
        client(HttpServer(kfp.url)).pipeline("x")
    assert caught.value.code == "SRN-KFP-004"


@pytest.mark.parametrize("answer", [Answer(503, {}), OSError("connection refused")])
def test_a_silent_server_is_given_its_patience_and_no_more(answer: Answer | OSError) -> None:
    def say(*_: object) -> Answer:
        if isinstance(answer, OSError):
            raise answer
        return answer

    time = Time()
    with pytest.raises(KfpError) as caught:
        client(MemoryServer(say), time, patience=60.0).pipeline("x")
    assert caught.value.code == "SRN-KFP-003"
    assert 60 < time.now < 70


def test_whoever_waits_may_end_the_waiting() -> None:
    with pytest.raises(Stopped):
        client(MemoryServer(lambda *_: Answer(503, {})), Time(stop_after=3)).pipeline("x")


def test_an_experiment_that_another_made_meanwhile_is_taken() -> None:
    answers = iter(
        [
            Answer(200, {}),
            Answer(409, {"message": "exists"}),
            Answer(200, {"experiments": [{"experiment_id": "e7"}]}),
        ]
    )
    assert client(MemoryServer(lambda *_: next(answers))).experiment("serinus", "") == "e7"


@pytest.mark.parametrize("url", ["ml-pipeline:8888", "ftp://x", "", "http://x?y=1"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(SerinusError, match="SRN-KFP-001 --kfp-host"):
        HttpServer(url, flag="--kfp-host")


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(SerinusError, match="SRN-KFP-001 --host kfp.example") as caught:
        HttpServer("https://ann:s3cr3t@kfp.example/")
    assert "s3cr3t" not in str(caught.value)
    assert "--token" in caught.value.hint


@pytest.mark.parametrize(
    ("pairs", "parameters"),
    [
        (["name={model}"], {"name": "{model}"}),
        (["rows=5", "quick=true", 'tags=["a"]'], {"rows": 5, "quick": True, "tags": ["a"]}),
        (["expr=a=b"], {"expr": "a=b"}),
        ([], {}),
    ],
)
def test_parameters_are_pairs(pairs: list[str], parameters: dict[str, Any]) -> None:
    assert read_parameters(pairs, flag="--parameter") == parameters


@pytest.mark.parametrize("pairs", [["name"], ["=x"]])
def test_a_pair_without_a_name_is_refused(pairs: list[str]) -> None:
    with pytest.raises(SerinusError, match="SRN-KFP-002 --parameter"):
        read_parameters(pairs, flag="--parameter")


@settings(deadline=None)
@given(content=st.binary(max_size=2000))
def test_any_bytes_are_uploaded_as_they_are(uploads: KfpServer, content: bytes) -> None:
    server = HttpServer(uploads.url)
    name = f"v{threading.get_ident()}-{len(uploads.uploads)}"
    server.call("POST", f"/pipelines/upload_version?name={name}&pipelineid=p1", content)
    assert uploads.uploads[name] == content


@pytest.fixture(scope="module")
def uploads() -> Iterator[KfpServer]:
    server = KfpServer()
    yield server
    server.close()


def test_the_stand_in_refuses_what_the_api_does_not_have(kfp: KfpServer) -> None:
    server = HttpServer(kfp.url)
    for method, path, body in (
        ("POST", "/runs", {"name": "v1 called it so"}),
        ("POST", "/recurringruns", {"display_name": "x", "mode": "ON"}),
        ("POST", "/recurringruns", {"display_name": "x", "max_concurrency": 1}),
        ("GET", "/runs?experiment=e1", None),
        ("POST", "/jobs", {}),
    ):
        assert server.call(method, path, body).status == 400
    assert len(kfp.wrong) == 5
    kfp.wrong.clear()


def test_requests_are_those_of_the_published_client(kfp: KfpServer) -> None:
    """The same run, made by kfp-server-api itself, reaches the server as ours does."""
    ours = {
        "display_name": "credit-1",
        "experiment_id": "e1",
        "pipeline_version_reference": {"pipeline_id": "p1", "pipeline_version_id": "v-new"},
        "runtime_config": {"parameters": {"data": "s3://records/a.csv"}, "pipeline_root": "s3://artefacts"},
        "service_account": "runner",
    }
    client(HttpServer(kfp.url)).create("runs", ours)
    api: Any = kfp_server_api
    theirs = api.RunServiceApi(api.ApiClient(api.Configuration(host=kfp.url)))
    reference = api.V2beta1PipelineVersionReference(pipeline_id="p1", pipeline_version_id="v-new")
    config = api.V2beta1RuntimeConfig(
        parameters={"data": "s3://records/a.csv"}, pipeline_root="s3://artefacts"
    )
    theirs.run_service_create_run(
        api.V2beta1Run(
            display_name="credit-1",
            experiment_id="e1",
            pipeline_version_reference=reference,
            runtime_config=config,
            service_account="runner",
        )
    )
    first, second = ({k: v for k, v in run.items() if k not in ("run_id", "looked_at")} for run in kfp.runs)
    assert first == second
    check(ours, "V2beta1Run")
    assert ("POST", "/runs") in operations()
