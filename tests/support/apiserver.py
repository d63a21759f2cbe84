"""A real API server with its etcd and nothing else: no controllers, no node, no pods.

What Deployments, pods and routes say is written by the test. Needs the binaries
of the test cluster (``SERINUS_CLUSTER env``).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

from kubernetes.client import Configuration

from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
CLUSTER = Path(os.environ.get("SERINUS_CLUSTER", ROOT.parent / "shared" / "cluster" / "cluster"))
GROUPS = {"admin": "system:masters"}
AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "rules": [
        {"level": "None", "users": ["admin", "system:apiserver"]},
        {"level": "Metadata", "omitStages": ["RequestReceived"]},
    ],
}


def tools() -> str | None:
    """The PATH that holds kube-apiserver and kubectl; None where there is no test cluster."""
    if not CLUSTER.exists():
        return None
    shell = f'eval "$({CLUSTER} env)"; echo "$PATH"'
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    path = done.stdout.strip()
    found = all(shutil.which(name, path=path) for name in ("kube-apiserver", "etcd"))
    return path if done.returncode == 0 and found else None


class ApiServer:
    """Users authenticate by a token that is their name."""

    def __init__(self, path: str) -> None:
        self._environment = os.environ | {"PATH": path}
        self._directory = Path(tempfile.mkdtemp(prefix="apiserver-"))
        self._etcd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._peer, self._client, self.port = free_port(), free_port(), free_port()
        self._audited: defaultdict[str, list[tuple[str, str, int]]] = defaultdict(list)
        self._read = 0  # bytes of the audit log
        self.url = f"https://127.0.0.1:{self.port}"

    def start(self, *users: str) -> None:
        """Start both, and wait until the server is ready."""
        directory = self._directory
        key = directory / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        names = [*GROUPS, *users]
        lines = [f'{name},{name},{name},"{GROUPS.get(name, "testers")}"\n' for name in names]
        (directory / "tokens.csv").write_text("".join(lines))
        (directory / "audit.yaml").write_text(json.dumps(AUDIT))
        etcd = f"http://127.0.0.1:{self._client}"
        peer = f"http://127.0.0.1:{self._peer}"
        self._etcd = self._spawn(
            "etcd", "--data-dir", str(directory / "etcd"), "--unsafe-no-fsync", "--log-level", "error",
            "--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
        )  # fmt: skip
        self.boot()

    def boot(self) -> None:
        """Start the API server over the etcd that runs, as after ``halt``."""
        directory = self._directory
        self._server = self._spawn(
            "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self._client}",
            f"--secure-port={self.port}", "--bind-address=127.0.0.1", f"--cert-dir={directory}",
            f"--token-auth-file={directory}/tokens.csv", "--authorization-mode=RBAC",
            "--service-account-issuer=https://tests", f"--service-account-key-file={directory}/sa.key",
            f"--service-account-signing-key-file={directory}/sa.key",
            f"--audit-log-path={directory}/audit.log", f"--audit-policy-file={directory}/audit.yaml",
            "--service-cluster-ip-range=10.0.0.0/24", "--disable-admission-plugins=ServiceAccount",
        )  # fmt: skip
        end = time.monotonic() + 120
        while not self._ready():
            assert time.monotonic() < end, (directory / "kube-apiserver.log").read_text()[-2000:]
            time.sleep(0.1)

    def requests(self, user: str) -> list[tuple[str, str, int]]:
        """(verb, resource, HTTP status) of everything that a user asked for about objects."""
        with (self._directory / "audit.log").open("rb") as log:
            log.seek(self._read)
            whole = log.read().rpartition(b"\n")[0]  # the last line may be half there
        self._read += len(whole) + bool(whole)
        for entry in map(json.loads, filter(None, whole.split(b"\n"))):
            about = entry.get("objectRef")
            if about:
                subresource = f"/{about['subresource']}" if about.get("subresource") else ""
                resource = f"{about['resource']}{subresource}.{about.get('apiGroup', '')}"
                found = entry["verb"], resource, entry["responseStatus"]["code"]
                self._audited[entry["user"]["username"]].append(found)
        return list(self._audited[user])

    def halt(self) -> None:
        """The API server is lost; what it held is not."""
        _end(self._server)
        self._server = None

    def stop(self) -> None:
        """End both and remove their files."""
        _end(self._server)
        _end(self._etcd)
        shutil.rmtree(self._directory, ignore_errors=True)

    def configuration(self, user: str = "admin") -> Any:
        """How a client reaches it as one user."""
        found = Configuration()
        found.host = self.url
        found.verify_ssl = False
        found.api_key = {"authorization": user}
        found.api_key_prefix = {"authorization": "Bearer"}
        return found

    def kubeconfig(self, user: str = "admin", namespace: str = "default") -> Path:
        """The same as a file, for kubectl and the command line."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "t", "cluster": {"server": self.url, "insecure-skip-tls-verify": True}}],
            "users": [{"name": user, "user": {"token": user}}],
            "contexts": [{"name": "t", "context": {"cluster": "t", "user": user, "namespace": namespace}}],
            "current-context": "t",
        }
        path = self._directory / f"{user}-{namespace}.kubeconfig"
        path.write_text(json.dumps(document))
        return path

    def _ready(self) -> bool:
        import ssl

        request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": "Bearer admin"})
        try:
            with urllib.request.urlopen(
                request, timeout=2, context=ssl._create_unverified_context()
            ) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        log = (self._directory / f"{command[0]}.log").open("ab")
        return subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
