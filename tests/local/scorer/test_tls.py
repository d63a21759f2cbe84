"""Whole programs over TLS: the scorer's HTTP and gRPC, the small servers, and who may ask them."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from serinus.features.online.link import Link
from serinus.tls import CA, CERT, KEY, ServerFiles, client_context, rotating
from tests.local.scorer.process import ROOT, ScorerProcess
from tests.support.bundles import small_bundle, small_home, small_records
from tests.support.certs import Authority
from tests.support.ports import free_port
from tests.support.redis import RedisServer, need_redis

pytestmark = pytest.mark.local
NAMES = ["amount", "hour", "channel", "days_since_last", "merchant_risk"]
ROW = [small_records(1, seed=11)[0][name] for name in NAMES]
BODY = json.dumps({"data": {"names": NAMES, "ndarray": [ROW]}}).encode()


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def flags(pair: tuple[Path, Path], *more: str) -> tuple[str, ...]:
    return ("--tls-cert", str(pair[0]), "--tls-key", str(pair[1]), *more)


def trusting(authority: Authority, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    pairs = {} if pair is None else {CERT: str(pair[0]), KEY: str(pair[1])}
    return client_context({CA: str(authority.ca), **pairs})


def predict(port: int, context: ssl.SSLContext, times: int = 1) -> list[int]:
    client = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)
    found: list[int] = []
    for _ in range(times):
        client.request("POST", "/api/v1.0/predictions", BODY)
        answer = client.getresponse()
        answer.read()
        found.append(answer.status)
    client.close()
    return found


def test_the_scorer_answers_over_tls_with_mutual_authentication_and_rotates(
    tmp_path: Path, ours: Authority
) -> None:
    import grpc

    bundle, home = small_bundle(tmp_path), small_home(tmp_path)
    pair, mine = ours.sign("first"), ours.sign("client", client=True)
    given = flags(pair, "--tls-client-ca", str(ours.ca), "--grpc-port", "0")
    with ScorerProcess(bundle.path, home.root, *given) as scorer:
        context = trusting(ours, mine)
        assert predict(scorer.port, context, times=3) == [200] * 3
        assert predict(scorer.port, context) == [200]
        with pytest.raises(OSError, match=r"(?i)alert|reset|pipe|eof|closed"):
            predict(scorer.port, trusting(ours))
        with pytest.raises(ssl.SSLCertVerificationError):
            predict(scorer.port, client_context({}))
        plain = http.client.HTTPConnection("127.0.0.1", scorer.port, timeout=60)
        plain.request("GET", "/v2/health/ready")
        with pytest.raises((OSError, http.client.HTTPException)):
            plain.getresponse()

        def live(*credentials: Any) -> bool:
            secure = grpc.ssl_channel_credentials(*credentials)
            with grpc.secure_channel(f"127.0.0.1:{scorer.ready['grpc_port']}", secure) as channel:
                ask = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
                try:
                    return ask(b"", timeout=60) == b"\x08\x01"
                except grpc.RpcError:
                    return False

        assert live(ours.ca.read_bytes(), mine[1].read_bytes(), mine[0].read_bytes())
        assert not live(ours.ca.read_bytes())
        assert not live(
            Authority(tmp_path, "other").ca.read_bytes(), mine[1].read_bytes(), mine[0].read_bytes()
        )

        fresh = ours.sign("second")
        for target, source in zip(pair, fresh, strict=True):
            shutil.copy(source, f"{target}.new")
            os.replace(f"{target}.new", target)
        client = http.client.HTTPSConnection("127.0.0.1", scorer.port, timeout=60, context=context)
        client.connect()
        shown = client.sock.getpeercert()  # type: ignore[union-attr]
        assert "second" in str(shown)
        client.close()
        scorer.terminate()
        code, error = scorer.wait()
        assert (code, "Traceback" in error) == (0, False), error  # grpcio tells of failed handshakes itself


@pytest.mark.parametrize("large", [False, True])
def test_an_answer_that_closes_the_connection_arrives_whole(
    tmp_path: Path, ours: Authority, large: bool
) -> None:
    bundle = small_bundle(tmp_path)
    with ScorerProcess(bundle.path, small_home(tmp_path).root, *flags(ours.sign("server"))) as scorer:
        client = http.client.HTTPSConnection("127.0.0.1", scorer.port, timeout=60, context=trusting(ours))
        body = json.dumps({"data": {"names": NAMES, "ndarray": [ROW] * (5000 if large else 1)}}).encode()
        client.request("POST", "/api/v1.0/predictions", body, {"connection": "close"})
        answer = client.getresponse()
        assert answer.status == 200
        assert len(json.loads(answer.read())["data"]["ndarray"]) == (5000 if large else 1)
        client.close()


def failing(tmp_path: Path, *given: str, **environment: str) -> str:
    bundle = small_bundle(tmp_path)
    with (
        pytest.raises(AssertionError) as caught,
        ScorerProcess(bundle.path, small_home(tmp_path).root, *given, env=environment),
    ):
        pass
    return str(caught.value)


def test_what_cannot_be_served_is_told_before_anything_answers(tmp_path: Path, ours: Authority) -> None:
    cert, key = ours.sign("server")
    assert "SRN-TLS-002" in failing(tmp_path, "--tls-cert", str(cert))
    assert "SRN-TLS-002" in failing(tmp_path, "--tls-key", str(key))
    assert "SRN-TLS-002" in failing(tmp_path, SERINUS_SERVER_KEY=str(key))
    assert "SRN-TLS-001" in failing(tmp_path, *flags((cert, ours.sign("other")[1])))
    assert "SRN-TLS-003" in failing(tmp_path, "--host", "0.0.0.0", SERINUS_PLAIN_HTTP="refuse")


@pytest.fixture
def monitor(ours: Authority) -> Iterator[tuple[str, Event, Event]]:
    """A drift monitor over TLS that lets in only our clients; whether it heard anything, and turned one away."""
    heard, refused = Event(), Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            heard.set()
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
            pass

    class Server(ThreadingHTTPServer):
        def get_request(self) -> tuple[Any, Any]:
            try:
                return super().get_request()
            except OSError:
                refused.set()
                raise

    server = Server(("127.0.0.1", 0), Handler)
    context = rotating(ServerFiles(*ours.sign("monitor"), ours.ca))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}/", heard, refused
    server.shutdown()


@pytest.mark.parametrize("known", [True, False], ids=["with its certificate", "without"])
def test_the_scorer_reaches_a_drift_monitor_over_mutual_tls(
    tmp_path: Path, ours: Authority, monitor: tuple[str, Event, Event], known: bool
) -> None:
    url, heard, refused = monitor
    cert, key = ours.sign("scorer", client=True)
    environment = {CA: str(ours.ca)} | ({CERT: str(cert), KEY: str(key)} if known else {})
    bundle = small_bundle(tmp_path)
    with ScorerProcess(
        bundle.path, small_home(tmp_path).root, "--payload-url", url, env=environment
    ) as scorer:
        client = http.client.HTTPConnection("127.0.0.1", scorer.port, timeout=60)
        client.request("POST", "/api/v1.0/predictions", BODY)
        assert client.getresponse().status == 200
        assert (heard if known else refused).wait(60)
        client.close()
        scorer.terminate()
        scorer.wait()
    assert (heard.is_set(), refused.is_set()) == (known, not known)


def test_the_small_servers_serve_it_too(tmp_path: Path, ours: Authority) -> None:
    pair, mine = ours.sign("server"), ours.sign("client", client=True)
    command = [sys.executable, "-m", "serving.retrain", "--home", str(tmp_path / "home"), "--port", "0"]
    command += ["--command", "true", *flags(pair, "--tls-client-ca", str(ours.ca))]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        port = json.loads(line)["port"]

        def ask(context: ssl.SSLContext) -> tuple[int, str]:
            client = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context)
            client.request("GET", "/metrics")
            status = client.getresponse().status
            shown = str(client.sock.getpeercert())  # type: ignore[union-attr]
            client.close()
            return status, shown

        assert ask(trusting(ours, mine))[0] == 200
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(trusting(ours))
        for target, source in zip(pair, ours.sign("second"), strict=True):
            shutil.copy(source, f"{target}.new")
            os.replace(f"{target}.new", target)
        assert "second" in ask(trusting(ours, mine))[1]
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_redis_is_reached_over_mutual_tls_and_not_without(
    tmp_path: Path, ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    need_redis()
    cert, key = ours.sign("redis")
    mine = ours.sign("scorer", client=True)
    port = free_port()
    options = ("--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key))
    options += ("--tls-ca-cert-file", str(ours.ca))
    with tempfile.TemporaryDirectory(prefix="redis-") as directory, RedisServer(Path(directory), *options):

        async def ping() -> object:
            link = Link(f"rediss://127.0.0.1:{port}/0", deadline=60)
            try:
                return await link.command("PING")
            finally:
                await link.close()

        monkeypatch.setenv(CA, str(ours.ca))
        with pytest.raises(Exception, match="SRN-FEATURES-008"):
            asyncio.run(ping())
        monkeypatch.setenv(CERT, str(mine[0]))
        monkeypatch.setenv(KEY, str(mine[1]))
        assert asyncio.run(ping()) == b"PONG"
        monkeypatch.setenv(CA, str(Authority(tmp_path, "other").ca))
        with pytest.raises(Exception, match="SRN-FEATURES-008"):
            asyncio.run(ping())
