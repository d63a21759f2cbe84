"""Where frames come from: pages that come and go, and a Prometheus that may be anything but one."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from serinus.errors import SerinusError
from serving.watch.terminal.sources import IN_DETAIL, Page, PagesSource, PrometheusSource
from tests.unit.watch.terminal import HEAD, traffic

Answer = Callable[[BaseHTTPRequestHandler], tuple[int, bytes]]


@contextmanager
def server(answer: Answer) -> Generator[str]:
    """An HTTP server on loopback; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self)
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: object = "-", size: object = "-") -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


def test_rates_are_taken_since_the_first_page_within_the_time_they_cover() -> None:
    moments = [100.0, 110.0, 160.0, 171.0, 300.0]
    clock = iter(moments)
    with server(lambda _: (200, (HEAD + traffic({("champion", "200"): 7})).encode())) as url:
        source = PagesSource(lambda: [Page("scorer", url)], over=60, now=lambda: next(clock))
        found = [source.read(None) for _ in moments]
    assert [None if read.before is None else read.before.at for read in found] == [None, 100, 100, 110, 171]
    assert found[0].now.one("serinus_requests_total", instance=url) == 7
    assert source.where == "1 of 1 programs"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda _: (404, b"no"), "it says 404 Not Found"),
        (lambda _: (200, b"<html>hello {"), "what it says is not understood"),
    ],
)
def test_a_page_that_is_none_is_a_problem_and_the_others_are_read(answer: Answer, why: str) -> None:
    with server(lambda _: (200, HEAD.encode())) as good, server(answer) as bad:
        pages = [Page("scorer", good), Page("drift", bad), Page("outcomes", "http://127.0.0.1:1/metrics")]
        read = PagesSource(lambda: pages, over=60).read(None)
    assert read.now.values("predictor", "serinus_model_info") == ["canary", "champion"]
    first, second = read.problems
    assert first.startswith(f"drift at {bad} does not answer ({why}")
    assert second == "outcomes at http://127.0.0.1:1/metrics does not answer (Connection refused)"


def prometheus(models: list[str], asked: list[dict[str, str]], headers: list[str | None]) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        parts = urlsplit(request.path)
        assert parts.path == "/prefix/api/v1/query"
        asked.append({name: values[0] for name, values in parse_qs(parts.query).items()})
        headers.append(request.headers["authorization"])
        series = [
            {
                "metric": {"__name__": "serinus_model_info", "model": model, "predictor": "a"},
                "value": [1, "1"],
            }
            for model in models
        ]
        return 200, json.dumps(
            {"status": "success", "data": {"resultType": "vector", "result": series}}
        ).encode()

    return answer


@pytest.mark.parametrize(
    ("models", "model", "detailed"),
    [(["fraud"], None, True), (["fraud", "credit"], None, False), (["fraud", "credit"], "fraud", True)],
)
def test_features_are_asked_of_one_model_at_a_time(
    models: list[str], model: str | None, detailed: bool
) -> None:
    asked: list[dict[str, str]] = []
    with server(prometheus(models, asked, [])) as url:
        read = PrometheusSource(f"{url}/prefix/", over=60, now=lambda: 1000.0).read(model)
    assert [query["time"] for query in asked] == ["1000.000"] * (2 if detailed else 1) + ["940.000"]
    assert any(IN_DETAIL[0] in query["query"] for query in asked) == detailed
    assert read.before is not None
    assert (read.now.at, read.before.at) == (1000.0, 940.0)


def test_a_name_is_no_pattern_and_a_password_no_part_of_what_is_shown() -> None:
    asked: list[dict[str, str]] = []
    headers: list[str | None] = []
    with server(prometheus(["a.b"], asked, headers)) as url:
        source = PrometheusSource(url.replace("://", "://ann:s%40crt@") + "/prefix", over=60)
        source.read('a.b"} or x')
        assert source.where == f"{url}/prefix"
        PrometheusSource(f"{url}/prefix", over=60, token="t").read(None)
    assert 'model=~"a\\\\.b\\\\"\\\\}\\\\ or\\\\ x|"' in asked[0]["query"]
    assert headers[0] == "Basic " + base64.b64encode(b"ann:s@crt").decode()
    assert headers[-1] == "Bearer t"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda _: (401, b""), "it says 401 Unauthorized"),
        (lambda _: (200, b"<html>Grafana</html>"), "what it says is not understood"),
        (lambda _: (200, b'{"data": []}'), "what it says is not understood"),
    ],
)
def test_what_is_no_prometheus_is_an_error_with_a_remedy(answer: Answer, why: str) -> None:
    with server(answer) as url, pytest.raises(SerinusError) as caught:
        PrometheusSource(url, over=60).read(None)
    assert caught.value.code == "SRN-WATCH-001"
    assert why in caught.value.what


def test_a_prometheus_that_is_down_is_said_to_be() -> None:
    with pytest.raises(SerinusError, match="SRN-WATCH-001.*Connection refused"):
        PrometheusSource("http://127.0.0.1:1", over=60).read(None)


@pytest.mark.parametrize("url", ["prometheus:9090", "ftp://a", "http://", "http://a:port"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(SerinusError) as caught:
        PrometheusSource(url, over=60)
    assert caught.value.code == "SRN-WATCH-002"


def test_a_plain_address_beyond_this_machine_is_told_and_may_be_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = "http://ann:word@prometheus.example:9090"
    monkeypatch.delenv("SERINUS_PLAIN_HTTP", raising=False)
    PrometheusSource(away, over=60)
    told = capsys.readouterr().err
    assert "SRN-TLS-003 prometheus.example: --prometheus is plain HTTP" in told
    assert "word" not in told
    monkeypatch.setenv("SERINUS_PLAIN_HTTP", "refuse")
    with pytest.raises(SerinusError, match="SRN-TLS-003"):
        PrometheusSource(away, over=60)
    for url in ("https://prometheus.example", "http://127.0.0.1:9090"):
        PrometheusSource(url, over=60)
    assert capsys.readouterr().err == ""
