"""Starting the real programs, and sending them what Seldon's executor would."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


class Program:
    """``python -m <module>`` as a process, ready once it said so."""

    def __init__(self, module: str, *flags: str, log: Path) -> None:
        self.log = log
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *flags],
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=ROOT,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"{module} ended: {log.read_text()[-2000:]}")
        self.port: int = json.loads(line)["port"]
        self.address = f"127.0.0.1:{self.port}"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=60) as answer:
            return answer.read().decode()

    def status(self) -> dict[str, Any]:
        return json.loads(self.get("/status"))

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(60)
        if self.process.stdout:
            self.process.stdout.close()
        return code

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *what: object) -> None:
        if self.process.poll() is None:
            self.stop()


class Logger:
    """Posts events as the executor's logger does, over one connection."""

    def __init__(self, to: Program | int, predictor: str = "champion") -> None:
        port = to if isinstance(to, int) else to.port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._predictor = predictor
        self._sent = 0

    def request(self, rows: list[dict[str, Any]]) -> int:
        names = list(rows[0])
        body = {"data": {"names": names, "ndarray": [[row[name] for name in names] for row in rows]}}
        return self.send("io.seldon.serving.inference.request", body)

    def response(self, probabilities: list[float], digest: str) -> int:
        body = {
            "data": {"names": ["probability"], "ndarray": [[p] for p in probabilities]},
            "meta": {"tags": {"digest": digest}},
        }
        return self.send("io.seldon.serving.inference.response", body)

    def send(self, kind: str, body: object) -> int:
        self._sent += 1
        headers = {
            "Content-Type": "application/json",
            "Ce-Id": str(uuid.uuid4()),  # of its own, as the executor gives each event
            "Ce-Specversion": "1.0",
            "Ce-Source": "http://127.0.0.1:8000/",
            "Ce-Type": kind,
            "Ce-Time": "2026-11-20T10:00:00Z",
            "Ce-Requestid": f"r{self._sent}",
            "Ce-Modelid": "classifier",
            "Ce-Inferenceservicename": "small",
            "Ce-Namespace": "fraud",
            "Ce-Endpoint": self._predictor,
            "Ce-Protocol": "seldon",
        }
        self._connection.request("POST", "/", json.dumps(body), headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status


def until(what: Callable[[], Any], timeout: float = 120.0, why: str = "") -> Any:
    """Poll until something is true; fail after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:g} s: {why or what}")
        pause.wait(0.05)


def need(present: bool, what: str) -> None:
    """Skip where a program is not installed; on CI that is a failure."""
    if not present:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{what} must be installed on CI")
        pytest.skip(f"{what} is not installed (Debian has it)")
