"""A keeper's pod and pipelines' pods, and what runs in them."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from typer.testing import CliRunner

from pipelines.cli import app
from serinus.home import Home
from tests.cluster import node
from tests.cluster.kube import Kube, Obj
from tests.cluster.predictors import RESTRICTED, RESTRICTED_POD
from tests.cluster.waiting import eventually

AUDIENCE = "serinus-records"
TOKEN = "/var/run/secrets/serinus-records/token"
UNPACK = "import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode='r|').extractall(sys.argv[1], filter='data')"
REGISTER = """
import sys
from pathlib import Path
from serinus.bundle import Keyring, open_bundle
from serinus.home import Home
from serinus.registry import Registry
home = Home(Path(sys.argv[1]))
trusted = Keyring.load(home.keys)
found = [open_bundle(path, trusted=trusted) for path in home.bundles.iterdir()]
for bundle in sorted(found, key=lambda one: one.version):
    Registry(home).register(bundle, by="ann", owner="cards", run="r-1")
"""
ASK = """
import sys, ssl, urllib.error, urllib.request
body = b"{}" if sys.argv[2] == "POST" else None
request = urllib.request.Request(sys.argv[1], data=body, method=sys.argv[2])
try:
    answer = urllib.request.urlopen(request, timeout=20, context=ssl.create_default_context(cafile=sys.argv[3]))
except urllib.error.HTTPError as error:
    answer = error
print(answer.status)
print(answer.read().decode())
"""


class Ended(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    error: str

    @property
    def json(self) -> dict[str, Any]:
        """What it printed, an object."""
        return json.loads(self.out)


class Pod:
    """One pod, by ``kubectl exec``.

    Args:
        name: as kubectl takes it, such as ``deploy/serinus-records``.
    """

    def __init__(self, namespace: str, name: str) -> None:
        self._namespace, self._name = namespace, name

    def run(self, *command: str, stdin: bytes = b"") -> Ended:
        """Run a command to its end."""
        exec_ = [node.tool("kubectl"), "--kubeconfig", node.kubeconfig(), "-n", self._namespace, "exec", "-i"]
        done = subprocess.run([*exec_, self._name, "--", *command], input=stdin, capture_output=True)
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def said(self, *command: str, stdin: bytes = b"") -> str:
        """What a command prints that must succeed."""
        done = self.run(*command, stdin=stdin)
        assert done.code == 0, done.error
        return done.out

    def bring(self, home: Home, to: str) -> None:
        """Have a home there as a pipeline leaves it, with its versions registered and its private key elsewhere."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.add(home.bundles, "bundles")
            for key in home.keys.glob("trusted-*.pem"):
                archive.add(key, f"keys/{key.name}")
        self.said("python3", "-c", UNPACK, to, stdin=buffer.getvalue())
        self.said("python3", "-c", REGISTER, to)

    def sent(self, home: str, version: int, *flags: str, env: Sequence[str] = ()) -> Ended:
        """``serinus registry send small VERSION``, as the pod's environment says where to and by which token."""
        command = ("serinus", "registry", "send", "small", str(version), "--home", home, "--output", "json")
        return self.run("env", *env, *command, *flags)

    def asked(self, url: str, ca: str, method: str = "GET") -> tuple[int, str]:
        """Status and body of a request without a token."""
        status, _, body = self.said("python3", "-c", ASK, url, method, ca).partition("\n")
        return int(status), body


def compiled(directory: Path, url: str, secret: str) -> Obj:
    """What ``serinus pipeline compile --registrar`` gives the step that registers: environment and volumes."""
    image, path = f"registry.example/pipeline@sha256:{'0' * 64}", directory / "pipeline.yaml"
    told = ("--registrar", url, "--registrar-secret", secret, "--registrar-token", TOKEN)
    done = CliRunner().invoke(app, ["compile", "--image", image, "-o", str(path), *told])
    assert done.exit_code == 0, done.stdout + done.stderr
    spec, platform = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    (name,) = (name for name in spec["deploymentSpec"]["executors"] if "register" in name)
    mine: Obj = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"][name]
    mounts: list[Obj] = []
    volumes: list[Obj] = []
    for i, secret_ in enumerate(mine.get("secretAsVolume", ())):
        mounts.append({"name": f"secret-{i}", "mountPath": secret_["mountPath"], "readOnly": True})
        volumes.append({"name": f"secret-{i}", "secret": {"secretName": secret_["secretName"]}})
    env = spec["deploymentSpec"]["executors"][name]["container"].get("env", [])
    return {"env": env, "mounts": mounts, "volumes": volumes}


def pipeline(name: str, namespace: str, account: str, step: Obj, *more: str) -> Obj:
    """A pod of an account in which a test runs what the step would; ``more`` secrets are mounted at ``/more/NAME``."""
    projected = {"serviceAccountToken": {"path": "token", "audience": AUDIENCE, "expirationSeconds": 600}}
    container: Obj = {
        "name": "main",
        "image": node.image("pipeline"),
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "infinity"],
        "env": step["env"],
        "securityContext": RESTRICTED,
        "resources": {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "volumeMounts": [
            *step["mounts"],
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "token", "mountPath": str(Path(TOKEN).parent), "readOnly": True},
            *({"name": one, "mountPath": f"/more/{one}", "readOnly": True} for one in more),
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "serviceAccountName": account,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": RESTRICTED_POD,
            "containers": [container],
            "volumes": [
                *step["volumes"],
                {"name": "tmp", "emptyDir": {}},
                {"name": "token", "projected": {"sources": [projected]}},
                *({"name": one, "secret": {"secretName": one}} for one in more),
            ],
        },
    }


def running(kube: Kube, namespace: str, name: str) -> Pod:
    """The pod, once it runs."""

    def runs() -> bool:
        status = kube.must("Pod", namespace, name)["status"]
        assert status["phase"] != "Failed", status
        return any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", ()))

    eventually(runs, 240, what=f"{name} runs")
    return Pod(namespace, f"pod/{name}")
