"""``seldon-core-microservice`` from seldon-core's environment, hosting our class."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.environments import ROOT, python
from tests.support.ports import free_port


@dataclass(frozen=True)
class Microservice:
    """Its three ports."""

    http_port: int
    grpc_port: int
    metrics_port: int

    def ask(self, method: str, path: str, document: Any = None, *, port: int = 0) -> tuple[int, Any]:
        """Status, and the body decoded if it is JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.http_port, timeout=60)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body=body, headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            raw = answer.read()
            return answer.status, json.loads(raw) if raw[:1] in (b"{", b"[", b'"') else raw.decode()
        finally:
            connection.close()


@contextmanager
def microservice(parameters: dict[str, str], log: Path, env: dict[str, str]) -> Generator[Microservice]:
    """The wrapper with REST, gRPC and metrics up; its processes are gone on exit."""
    ports = Microservice(*(free_port() for _ in range(3)))
    given = [{"name": name, "value": value, "type": "STRING"} for name, value in parameters.items()]
    command = [
        str(python("seldon").parent / "seldon-core-microservice"),
        "serving.scorer.wrapper.SerinusModel", "--service-type", "MODEL", "--parameters", json.dumps(given),
        "--http-port", str(ports.http_port), "--grpc-port", str(ports.grpc_port),
        "--metrics-port", str(ports.metrics_port),
    ]  # fmt: skip
    # Ended by a signal, its multiprocessing manager leaves its sockets: with a name short enough for one, they go here.
    with log.open("wb") as output, tempfile.TemporaryDirectory(prefix="seldon-") as scratch:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **env, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": scratch},
            stdout=output,
            stderr=output,
            start_new_session=True,  # it starts five processes, and leaves some when it is ended alone
        )
        try:
            _until_up(ports, process, log)
            yield ports
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                    process.wait(30)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue


def _until_up(ports: Microservice, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 150
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            if ports.ask("GET", "/health/status")[0] == 200:
                for port in (ports.grpc_port, ports.metrics_port):
                    socket.create_connection(("127.0.0.1", port), 20).close()
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"seldon-core-microservice did not come up:\n{log.read_text()[-4000:]}")
