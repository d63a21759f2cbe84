"""Seldon's own service orchestrator before a scorer, where somebody has built it.

``SELDON_EXECUTOR`` names the binary (``go build ./cmd/executor`` in seldon-core's
``executor/`` folder, release 1.17.1, Apache-2.0). The project does not carry it.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.ports import free_port

BINARY = os.environ.get("SELDON_EXECUTOR", "")


class Executor:
    """Its ports, and its REST face."""

    def __init__(self, http_port: int, grpc_port: int) -> None:
        self.http_port = http_port
        self.grpc_port = grpc_port

    def ask(
        self, method: str, path: str, document: Any = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, decoded body and headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        sent = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            raw = answer.read()
            got = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, json.loads(raw) if raw.startswith(b"{") else raw, got
        finally:
            connection.close()


def predictor(http_port: int, grpc_port: int) -> dict[str, Any]:
    """What the operator hands the executor of a predictor with one model container."""
    return {
        "name": "champion",
        "graph": {
            "name": "classifier",
            "type": "MODEL",
            "endpoint": {
                "service_host": "localhost",
                "service_port": http_port,
                "httpPort": http_port,
                "grpcPort": grpc_port,
            },
        },
        "componentSpecs": [{"spec": {"containers": [{"name": "classifier", "image": "serinus/scorer:1"}]}}],
    }


@contextmanager
def executor(scorer_http: int, scorer_grpc: int, *, protocol: str, folder: Path) -> Generator[Executor]:
    """An executor in front of a scorer, ready by its full health checks."""
    http_port, grpc_port = free_port(), free_port()
    given = base64.b64encode(json.dumps(predictor(scorer_http, scorer_grpc)).encode()).decode()
    command = [
        BINARY, "--sdep", "shop", "--namespace", "bank", "--predictor", "champion",
        "--http_port", str(http_port), "--grpc_port", str(grpc_port),
        "--protocol", protocol, "--transport", "rest",
        "--prometheus_path", "/prometheus", "--full_health_checks=true",
    ]  # fmt: skip
    with (folder / f"executor-{protocol}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "ENGINE_PREDICTOR": given}, stdout=log, stderr=log
        )
        try:
            made = Executor(http_port, grpc_port)
            _until_ready(made, process)
            yield made
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def _until_ready(made: Executor, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        if process.poll() is not None:
            raise AssertionError(f"the executor ended with {process.returncode}")
        try:
            if made.ask("GET", "/ready")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("the executor did not become ready in 90 s")
