"""The scorer as a process: real sockets, real signals, real files."""

from __future__ import annotations

import http.client
import json
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from serinus.bundle import Bundle
from serinus.events import read_decisions, verify_decisions
from serinus.home import Home
from tests.local.scorer.load import pending, until
from tests.local.scorer.process import ROOT, ScorerProcess, connection
from tests.support.bundles import small_bundle, small_home, small_records

pytestmark = pytest.mark.local
NAMES = ["amount", "hour", "channel", "days_since_last", "merchant_risk"]
RECORDS = small_records(200, seed=11)
BODIES = [
    json.dumps({"data": {"names": NAMES, "ndarray": [[row[name] for name in NAMES]]}}).encode()
    for row in RECORDS
]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return small_bundle(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return small_home(tmp_path)


def refused(bundle: Path, home: Path, *flags: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a scorer that should not come up."""
    command = [sys.executable, "-m", "serving.scorer", "--bundle", str(bundle), "--home", str(home), *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def test_it_answers_both_protocols_in_a_seldon_pods_environment_and_goes_with_0(
    bundle: Bundle, home: Home
) -> None:
    env = {"PREDICTIVE_UNIT_ID": "classifier", "SELDON_DEPLOYMENT_ID": "shop", "PREDICTOR_ID": "ignored"}
    with ScorerProcess(bundle.path, home.root, "--max-body", "2000", env=env) as scorer:
        assert scorer.ready["digest"] == bundle.digest
        assert (scorer.ready["model"], scorer.ready["predictor"]) == ("classifier", "champion")
        with connection(scorer.port) as client:
            assert client.get("/v2/health/ready")[0] == 200
            assert client.get("/v2/models/small/ready")[0] == 404
            status, headers, body = client.post("/api/v1.0/predictions", BODIES[0], {"Seldon-Puid": "mine"})
            assert (status, headers["seldon-puid"]) == (200, "mine")
            assert (headers["x-serinus-predictor"], headers["x-serinus-digest"]) == (
                "champion",
                bundle.digest,
            )
            document = {"inputs": [tensor(name, value) for name, value in RECORDS[0].items()]}
            status, _, other = client.post("/v2/models/classifier/infer", json.dumps(document).encode())
            assert status == 200
            assert json.loads(other)["outputs"][0]["data"] == json.loads(body)["data"]["ndarray"][0]
            exposition = client.get("/metrics")[2].decode()
            assert (
                'serinus_requests_total{code="200",model="classifier",predictor="champion"} 2.0' in exposition
            )
        with connection(scorer.port) as client:
            assert client.post("/predict", b" " * 30_000)[0] == 413
        scorer.terminate()
        assert scorer.wait() == (0, "")
    assert next(event.id for event in read_decisions(home.decisions / "classifier-champion.jsonl")) == "mine"


def tensor(name: str, value: Any) -> dict[str, Any]:
    return {"name": name, "shape": [1], "datatype": "BYTES" if name == "channel" else "FP64", "data": [value]}


class Load:
    """Threads that ask until the scorer is gone; an answer that arrives whole counts."""

    def __init__(self, port: int, workers: int = 4) -> None:
        self.answered: list[str] = []
        self.bad: list[int] = []
        self._port = port
        self._threads = [threading.Thread(target=self._ask, args=(worker,)) for worker in range(workers)]
        for thread in self._threads:
            thread.start()

    def _ask(self, worker: int) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        for i in range(100_000):
            puid = f"{worker}-{i}"
            try:
                client.request("POST", "/predict", BODIES[i % len(BODIES)], {"Seldon-Puid": puid})
                answer = client.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                return
            if answer.status == 200:
                self.answered.append(puid)
            else:
                self.bad.append(answer.status)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive(), "a request was never answered"


def test_sigterm_under_load_leaves_every_answered_request_in_a_sound_log_that_a_next_life_continues(
    bundle: Bundle, home: Home
) -> None:
    with ScorerProcess(bundle.path, home.root) as scorer:
        load = Load(scorer.port)
        until(lambda: len(load.answered) >= 400)
        scorer.terminate()
        code, error = scorer.wait()
        load.join()
    path = home.decisions / "small-champion.jsonl"
    logged = {event.id for event in read_decisions(path)}
    assert (code, error, load.bad) == (0, "", [])
    assert set(load.answered) <= logged
    assert verify_decisions(path)[0] == len(logged)

    with ScorerProcess(bundle.path, home.root) as scorer, connection(scorer.port) as client:
        assert client.post("/predict", BODIES[0], {"Seldon-Puid": "next life"})[0] == 200
    assert verify_decisions(path)[0] == len(logged) + 1


def test_a_port_in_use_is_said_so(bundle: Bundle, home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out, error = refused(bundle.path, home.root, "--port", port)
    assert (code, out) == (1, "")
    assert error.startswith(f"serinus: SRN-SCORER-001 127.0.0.1:{port}: the port is in use")


def test_a_changed_bundle_is_not_served(bundle: Bundle, home: Home) -> None:
    with (bundle.path / "model.txt").open("a") as file:
        file.write(" ")
    code, out, error = refused(bundle.path, home.root, "--port", "0", "--untrusted")
    assert (code, out) == (1, "")
    assert "SRN-BUNDLE-003" in error


def test_a_full_disk_holds_decisions_back_until_there_is_room_and_what_is_lost_at_the_end_is_said(
    bundle: Bundle, home: Home
) -> None:
    def room(pid: int, size: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    with ScorerProcess(bundle.path, home.root) as scorer, connection(scorer.port) as client:
        room(scorer.pid, 0)
        assert client.post("/predict", BODIES[0], {"Seldon-Puid": "kept"})[0] == 200
        until(lambda: "SRN-AUDIT-002" in scorer.told)  # a write was tried
        assert pending(client.get("/metrics")[2]) == 1
        room(scorer.pid, 1 << 20)
        until(lambda: pending(client.get("/metrics")[2]) == 0)
        path = home.decisions / "small-champion.jsonl"
        assert [event.id for event in read_decisions(path)] == ["kept"]
        room(scorer.pid, 0)
        assert client.post("/predict", BODIES[0], {"Seldon-Puid": "lost"})[0] == 200
        scorer.terminate()
        code, error = scorer.wait()
    assert code == 1
    assert "SRN-SCORER-003" in error
    assert "1 answered decision" in error
    assert verify_decisions(path)[0] == 1


class Monitor(BaseHTTPRequestHandler):
    got: list[tuple[dict[str, str], bytes]]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def monitor() -> Generator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    got: list[tuple[dict[str, str], bytes]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("M", (Monitor,), {"got": got}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", got
    server.shutdown()
    server.server_close()


def test_every_payload_reaches_the_monitor_before_the_end(
    bundle: Bundle, home: Home, monitor: tuple[str, list[tuple[dict[str, str], bytes]]]
) -> None:
    url, got = monitor
    last = len(BODIES) - 10
    with (
        ScorerProcess(bundle.path, home.root, "--payload-url", url) as scorer,
        connection(scorer.port) as client,
    ):
        for i, body in enumerate(BODIES):
            if i == last:  # what comes now is on its way at the end, and it is no more than the end waits for
                until(lambda: len(got) >= 2 * last)
            assert client.post("/predict", body, {"Seldon-Puid": f"r{i}"})[0] == 200
        scorer.terminate()
        assert scorer.wait()[0] == 0
    # Where an answer was late the event came again: its id tells.
    once: dict[str, tuple[dict[str, str], bytes]] = {}
    for headers, body in got:
        once.setdefault(headers["ce-id"], (headers, body))
    events = list(once.values())
    requests = [body for headers, body in events if headers["ce-type"].endswith(".request")]
    responses = [headers["ce-requestid"] for headers, _ in events if headers["ce-type"].endswith(".response")]
    assert requests == BODIES
    assert responses == [f"r{i}" for i in range(len(BODIES))]


def test_a_monitor_that_never_answers_slows_neither_serving_nor_the_end(bundle: Bundle, home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with (
            ScorerProcess(bundle.path, home.root, "--payload-url", url) as scorer,
            connection(scorer.port) as client,
        ):
            for body in BODIES[:50]:
                assert client.post("/predict", body)[0] == 200
            scorer.terminate()
            assert scorer.wait()[0] == 0
