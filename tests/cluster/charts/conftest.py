"""helm against the cluster, and an S3 store that its pods reach."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from serinus.bundle import Bundle
from tests.cluster import node
from tests.cluster.conftest import missing
from tests.cluster.kube import Kube
from tests.support.bundles import small_bundle, small_home
from tests.support.s3 import S3Server


class Helm:
    """helm, in one namespace."""

    def __init__(self, namespace: str, environment: dict[str, str]) -> None:
        self.namespace = namespace
        self._environment = environment

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command; its output is the caller's to read."""
        return subprocess.run(
            ["helm", *arguments, "--namespace", self.namespace],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def upgrade(self, release: str, chart: str, *sets: str, wait: bool = False) -> str:
        """Install or upgrade; helm's words if it refused, else nothing."""
        values = [argument for one in sets for argument in ("--set", one)]
        waiting = ["--wait", "--timeout", "240s"] if wait else []
        done = self.run("upgrade", "--install", release, str(node.ROOT / "charts" / chart), *values, *waiting)
        return done.stderr if done.returncode else ""


@pytest.fixture
def helm(kube: Kube, namespace: str) -> Helm:
    """helm in the test's namespace."""
    asked = [str(node.ROOT / "charts/tools.sh"), "path"]
    path = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if shutil.which("helm", path=path) is None:
        missing("no helm; `make lint-charts` builds it")
    return Helm(namespace, os.environ | {"KUBECONFIG": node.kubeconfig(), "PATH": path})


class Store:
    """A bundle in an S3 store at an address of the node."""

    def __init__(self, url: str, bundle: Bundle, keys: dict[str, str], environment: dict[str, str]) -> None:
        self.url = url
        self.bundle = bundle
        self.keys = keys
        self.environment = environment
        self.uri = f"s3://models/{bundle.digest.removeprefix('sha256:')}"


@pytest.fixture
def store(kube: Kube, tmp_path: Path) -> Iterator[Store]:
    """The store, and a signed bundle in it."""
    (address,) = [
        given["address"]
        for given in kube.list("Node")[0]["status"]["addresses"]
        if given["type"] == "InternalIP"
    ]
    bundle = small_bundle(tmp_path)
    keys = small_home(tmp_path).keys
    with S3Server(tmp_path, host="0.0.0.0") as server:
        url = f"http://{address}:{server.port}"
        client = server.bucket("models")
        prefix = bundle.digest.removeprefix("sha256:")
        for path in sorted(Path(bundle.path).rglob("*")):
            if path.is_file():
                client.put(f"{prefix}/{path.relative_to(bundle.path)}", path.read_bytes())
        public = {path.name: path.read_text() for path in keys.glob("trusted-*.pem")}
        yield Store(url, bundle, public, server.environment(url))


def as_json(text: str | bytes) -> dict[str, object]:
    """An answer's body."""
    return json.loads(text)
