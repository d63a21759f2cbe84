"""A real scorer process and a plain HTTP connection to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


class ScorerProcess:
    """``python -m serving.scorer`` on a port of the kernel's choice; ready on entry, gone on exit.

    It sheds nothing that waited for its turn (``--max-wait``), unless a flag says so: a busy
    machine may let any process wait for a second.
    """

    def __init__(self, bundle: Path, home: Path, *flags: str, env: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "serving.scorer", "--bundle", str(bundle), "--home", str(home)]
        command += ["--port", "0", "--predictor", "champion", "--max-wait", "60", *flags]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._told: list[str] = []
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._hearing.start()
        self.pid = self._process.pid
        self.ready: dict[str, Any] = {}

    @property
    def port(self) -> int:
        return int(self.ready["port"])

    def __enter__(self) -> ScorerProcess:
        watchdog = threading.Timer(120, self._process.kill)
        watchdog.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        watchdog.cancel()
        if not line:
            self._process.wait()
            self._close()
            raise AssertionError(f"the scorer did not start: {self.told}")
        self.ready = json.loads(line)
        return self

    @property
    def told(self) -> str:
        """What it has said on stderr up to now."""
        return "".join(self._told)

    def _hear(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._told.append(line)

    def _close(self) -> None:
        self._hearing.join(60)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def wait(self, seconds: float = 60) -> tuple[int, str]:
        """Exit code and stderr."""
        code = self._process.wait(seconds)
        self._hearing.join(60)
        return code, self.told

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._close()


class Connection:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def post(
        self, path: str, body: bytes, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        return self._ask("POST", path, body, headers or {})

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        return self._ask("GET", path, None, {})

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        self._connection.request(method, path, body=body, headers=headers)
        answer = self._connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()

    def close(self) -> None:
        self._connection.close()


@contextmanager
def connection(port: int) -> Generator[Connection]:
    client = Connection(port)
    try:
        yield client
    finally:
        client.close()
