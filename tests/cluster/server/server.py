"""A model server for tests: Seldon V1, the scorer's metric names, and failures on request. Standard library only.

Environment, beside what Seldon's operator gives:

    FAIL_EVERY=n         every nth answer is an error 500 (1: all of them)
    FAIL_AFTER=n         every answer after the first n is an error 500
    DELAY_SECONDS=x      how long an answer takes
    READY=never          /ready never says yes
    CRASH=1              it ends at once, with code 1
    FILL_BYTES=n         it writes so many into /fill once it answers
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PREDICTOR = os.environ.get("PREDICTOR_ID", "default")
MODEL = os.environ.get("PREDICTIVE_UNIT_ID", "model")
FAIL_EVERY = int(os.environ.get("FAIL_EVERY", "0"))
FAIL_AFTER = int(os.environ.get("FAIL_AFTER", "-1"))
DELAY = float(os.environ.get("DELAY_SECONDS", "0"))
READY = os.environ.get("READY") != "never"
EDGES = ("0.01", "0.015", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf")

_numbers = itertools.count(1)
_lock = threading.Lock()
_codes: Counter[int] = Counter()
_slower: Counter[str] = Counter()
_seconds = 0.0
_busy = 0


def _score() -> tuple[int, bytes]:
    number = next(_numbers)
    if DELAY:
        time.sleep(DELAY)
    failed = (FAIL_EVERY and number % FAIL_EVERY == 0) or 0 <= FAIL_AFTER < number
    answer = {
        "data": {"names": ["probability"], "ndarray": [[0.1]]},
        "meta": {"tags": {"predictor": PREDICTOR}},
    }
    return (500, b'{"status": {"info": "made to fail"}}') if failed else (200, json.dumps(answer).encode())


def _count(code: int, seconds: float) -> None:
    global _seconds
    with _lock:
        _codes[code] += 1
        _seconds += seconds
        for edge in EDGES:
            if seconds <= float(edge):
                _slower[edge] += 1


def _metrics() -> bytes:
    labels = f'model="{MODEL}",predictor="{PREDICTOR}"'
    with _lock:
        total = sum(_codes.values())
        lines = ["# TYPE serinus_requests_total counter"]
        lines += [f'serinus_requests_total{{{labels},code="{code}"}} {n}' for code, n in _codes.items()] or [
            f'serinus_requests_total{{{labels},code="200"}} 0'
        ]
        lines.append("# TYPE model_latency_seconds histogram")
        lines += [f'model_latency_seconds_bucket{{{labels},le="{edge}"}} {_slower[edge]}' for edge in EDGES]
        lines += [
            f"model_latency_seconds_sum{{{labels}}} {_seconds}",
            f"model_latency_seconds_count{{{labels}}} {total}",
        ]
    return "\n".join([*lines, ""]).encode()


class Handler(BaseHTTPRequestHandler):
    """Keeps connections open, as a proxy expects."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self, code: int, body: bytes, kind: str = "application/json") -> None:
        head = (
            f"HTTP/1.1 {code} \r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            f"X-Predictor: {PREDICTOR}\r\n\r\n"
        )
        self.wfile.write(head.encode() + body)

    def do_GET(self) -> None:
        if self.path == "/ready":
            self._answer(200 if READY else 503, b"{}")
        elif self.path in ("/live", "/prometheus", "/metrics"):
            self._answer(200, _metrics(), "text/plain; version=0.0.4")
        else:
            self._answer(404, b"{}")

    def do_POST(self) -> None:
        global _busy
        with _lock:
            _busy += 1
        try:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            begin = time.perf_counter()
            code, body = _score()
            _count(code, time.perf_counter() - begin)
            self._answer(code, body)
        finally:
            with _lock:
                _busy -= 1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Many connections at once; none keeps the process."""

    daemon_threads = True
    request_queue_size = 128


def _port(name: str, default: str) -> int:
    return int(os.environ.get(name, default))


def main() -> None:
    """Serve until told to stop; then finish what is being answered."""
    if os.environ.get("CRASH"):
        sys.exit(1)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    ports = {
        _port("PREDICTIVE_UNIT_HTTP_SERVICE_PORT", "9000"),
        _port("PREDICTIVE_UNIT_METRICS_SERVICE_PORT", "6000"),
    }
    if "--http_port" in sys.argv:
        # In the place of Seldon's executor, which the recorded pods need to become ready.
        ports = {int(sys.argv[sys.argv.index("--http_port") + 1])}
    for port in ports:
        threading.Thread(target=Server(("", port), Handler).serve_forever, daemon=True).start()
    if os.environ.get("FILL_BYTES"):
        with open("/fill/bytes", "wb") as fill:  # noqa: PTH123  no pathlib, to start at once
            fill.write(bytes(int(os.environ["FILL_BYTES"])))
    stop.wait()
    deadline = time.monotonic() + 10
    while _busy and time.monotonic() < deadline:
        time.sleep(0.01)


main()
