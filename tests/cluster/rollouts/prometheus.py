"""A real Prometheus of the test's own, which scrapes a namespace's pods as a PodMonitor would have it do."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import urllib.request
from pathlib import Path
from typing import Self

from tests.cluster.kube import ApiError, Kube
from tests.cluster.waiting import eventually
from tests.support.ports import free_port

_CONFIG = """
global: {{scrape_interval: 2s, scrape_timeout: 2s}}
scrape_configs:
  - job_name: models
    metrics_path: /prometheus
    file_sd_configs: [{{files: ["{targets}"], refresh_interval: 2s}}]
"""


def available() -> bool:
    """Is there one on this machine?"""
    return shutil.which("prometheus") is not None


class Prometheus:
    """Debian's build knows no Kubernetes, so what it would find there is written to a file each second."""

    def __init__(self, kube: Kube, namespace: str, directory: Path) -> None:
        self._kube, self._namespace, self._directory = kube, namespace, directory
        self._port = free_port()
        self._targets = directory / "targets.json"
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._finder = threading.Thread(target=self._find, daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Begin, or go on with what it had."""
        config = self._directory / "prometheus.yml"
        config.write_text(_CONFIG.format(targets=self._targets))
        command = [
            *("prometheus", f"--config.file={config}", f"--storage.tsdb.path={self._directory / 'data'}"),
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        with (self._directory / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._ready, 90, what="Prometheus is ready")

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def kill(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _find(self) -> None:
        while not self._stop.wait(1.0):
            try:
                pods = self._kube.list("Pod", self._namespace)
            except ApiError:
                continue  # what was found before stands
            found = [
                {
                    "targets": [f"{pod['status']['podIP']}:{port['containerPort']}"],
                    "labels": {"namespace": self._namespace, "pod": pod["metadata"]["name"]},
                }
                for pod in pods
                if pod["status"].get("podIP")
                for container in pod["spec"]["containers"]
                for port in container.get("ports", [])
                if port.get("name") == "metrics"
            ]
            written = self._targets.with_suffix(".new.json")
            written.write_text(json.dumps(found))
            written.replace(self._targets)

    def __enter__(self) -> Self:
        self._targets.write_text("[]")
        self._finder.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._finder.join()
        self.kill()
