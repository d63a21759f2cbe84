"""A real record keeper, and the real command that tells it of a version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

from tests.local.scorer.process import ROOT

QUIET = {"MLFLOW_TRACKING_URI": "", "OPENLINEAGE_URL": "", "SERINUS_REGISTRAR": "", "SERINUS_KEYS": ""}


class KeeperProcess:
    """``python -m serving.registrar`` on a port of the kernel's choice; ready on entry, gone on exit."""

    def __init__(self, home: Path, *flags: str, scheme: str = "http", port: int = 0) -> None:
        command = [
            sys.executable,
            "-m",
            "serving.registrar",
            "--home",
            str(home),
            "--port",
            str(port),
            *flags,
        ]
        self._log = (home.parent / "keeper.err").open("ab")
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=self._log, env=os.environ | QUIET
        )
        self._scheme = scheme
        self.port = 0

    def __enter__(self) -> KeeperProcess:
        watchdog = threading.Timer(120, self._process.kill)
        watchdog.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        watchdog.cancel()
        assert line, "the record keeper did not start"
        self.port = int(json.loads(line)["port"])
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """SIGKILL, and gone."""
        self._process.kill()
        self._process.wait(20)

    def page(self) -> str:
        """Its metrics, where they are plain."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            return str(answer.read().decode())


def sending(home: Path, *flags: str, **env: str) -> subprocess.Popen[str]:
    """``serinus registry send small … --output json``, under way."""
    command = [sys.executable, "-m", "serinus.cli", "registry", "send", "small", *flags]
    return subprocess.Popen(
        [*command, "--output", "json", "--home", str(home)],
        cwd=ROOT,
        env=os.environ | QUIET | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def sent(home: Path, *flags: str, **env: str) -> tuple[int, dict[str, Any], str]:
    """The same at its end: exit code, what was printed, and what was said besides."""
    with sending(home, *flags, **env) as process:
        out, error = process.communicate(timeout=240)
    return process.returncode, json.loads(out) if out.startswith("{") else {}, error
