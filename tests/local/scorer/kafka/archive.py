"""A real archive process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.local.scorer.process import ROOT


def content_of(directory: Path, name: str) -> bytes:
    """What a log holds, segments first, although its writer may close one just now."""
    live = directory / f"{name}.jsonl"
    while True:
        segments = sorted(directory.glob(f"{name}.??????.jsonl"))
        try:
            found = b"".join(path.read_bytes() for path in (*segments, live))
        except FileNotFoundError:  # the live file: not there yet, or a segment by now
            if not live.exists() and segments == sorted(directory.glob(f"{name}.??????.jsonl")):
                return b"".join(path.read_bytes() for path in segments)
            continue
        if segments == sorted(directory.glob(f"{name}.??????.jsonl")):
            return found


class ArchiveProcess:
    """``python -m serving.archive`` at a port of the kernel's choice; ready on entry, gone on exit."""

    def __init__(self, home: Path, *flags: str, told: Path | None = None) -> None:
        command = [sys.executable, "-m", "serving.archive", "--home", str(home), *flags]
        self._told = (told or home.parent / "archive.log").open("ab")
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=self._told, text=True
        )
        self.port = 0

    def __enter__(self) -> ArchiveProcess:
        watchdog = threading.Timer(120, self._process.kill)
        watchdog.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        watchdog.cancel()
        assert line, "the archive did not start"
        self.port = int(json.loads(line)["port"])
        return self

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """SIGKILL, and gone."""
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(60)

    def end(self) -> int:
        """SIGTERM; its exit code."""
        os.kill(self._process.pid, signal.SIGTERM)
        return self._process.wait(60)

    def figure(self, name: str, **labels: str) -> float | None:
        """One series of its metrics; None if it is not there."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as answer:
            page = answer.read().decode()
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return None

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._told.close()
