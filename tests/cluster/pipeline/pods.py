"""One pod for each task, as a KFP server makes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.cluster.kube import Kube
from tests.cluster.pipeline.ir import Obj, Run, arguments
from tests.cluster.waiting import eventually

LAUNCHER = Path(__file__).with_name("launcher.py")
SCRATCH = ("gcs", "s3", "minio", ".local", ".cache", ".config")  # where KFP lets a component write
LAUNCHER_SECRET = "launcher-s3"


class Failed(AssertionError):  # noqa: N818  what a test expects, or not
    """The pod did not succeed; ``log`` is what it said."""

    def __init__(self, task: str, log: str) -> None:
        super().__init__(f"{task} failed:\n{log[-6000:]}")
        self.log = log


def pod(run: Run, task: str, executor_input: Obj, name: str, namespace: str) -> Obj:
    """The pod of KFP 2.17 (backend/src/v2/compiler/argocompiler/container.go), with the launcher of the tests.

    The security context is the one it gives, and ``runAsNonRoot``, which an administrator
    may demand of it (and which restricted Pod Security does).
    """
    container = run.container(task)
    resources = container["resources"]
    mounts = [{"name": f"scratch-{i}", "mountPath": f"/{path}"} for i, path in enumerate(SCRATCH)]
    volumes: list[Obj] = [{"name": f"scratch-{i}", "emptyDir": {}} for i in range(len(SCRATCH))]
    mounts += [
        {"name": "launcher", "mountPath": "/kfp-launcher", "readOnly": True},
        {"name": "launcher-s3", "mountPath": "/kfp-s3", "readOnly": True},
    ]
    volumes += [
        {"name": "launcher", "configMap": {"name": name}},
        {"name": "launcher-s3", "secret": {"secretName": LAUNCHER_SECRET}},
    ]
    env: list[Obj] = list(container.get("env", ()))
    platform = run.on_platform(task)
    for i, secret in enumerate(platform.get("secretAsVolume", ())):
        mounts.append({"name": f"secret-{i}", "mountPath": secret["mountPath"]})
        volumes.append({"name": f"secret-{i}", "secret": {"secretName": secret["secretName"]}})
    for i, directory in enumerate(platform.get("emptyDirMounts", ())):
        mounts.append({"name": f"empty-{i}", "mountPath": directory["mountPath"]})
        volumes.append({"name": f"empty-{i}", "emptyDir": {}})
    for secret in platform.get("secretAsEnv", ()):
        for pair in secret["keyToEnv"]:
            source = {"name": secret["secretName"], "key": pair["secretKey"], "optional": secret["optional"]}
            env.append({"name": pair["envVar"], "valueFrom": {"secretKeyRef": source}})
    amounts = {"cpu": resources["resourceCpuLimit"], "memory": resources["resourceMemoryLimit"]}
    main: Obj = {
        "name": "main",
        "image": container["image"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "/kfp-launcher/launcher.py", "/kfp-launcher/input.json", "--"],
        "args": arguments(container, executor_input),
        "env": env,
        "resources": {"requests": amounts, "limits": amounts},
        "volumeMounts": mounts,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"task": task, "run": run.id}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "activeDeadlineSeconds": int(platform["activeDeadlineSeconds"]),
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [main],
            "volumes": volumes,
        },
    }


class Cluster:
    """Runs tasks in a namespace. ``read`` gives the bytes of an object by its URI, from the test's side."""

    def __init__(self, kube: Kube, namespace: str, read: Callable[[str], bytes]) -> None:
        self._kube, self._namespace, self._read = kube, namespace, read
        self.pods: dict[str, Obj] = {}

    def run(self, run: Run, task: str, attempt: str = "1", **changes: object) -> Obj:
        """Run one task to its end; its pod as it ended.

        Raises:
            Failed: with its log.
        """
        name = f"{task}-{attempt}-{run.id[:8]}"
        given = run.executor_input(task, **changes)
        files = {"launcher.py": LAUNCHER.read_text(), "input.json": json.dumps(given)}
        meta = {"name": name, "namespace": self._namespace}
        self._kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": files})
        self._kube.create(pod(run, task, given, name, self._namespace))
        ended = eventually(lambda: self._ended(name), 600, what=f"the end of {name}")
        assert ended is not None
        self.pods[task] = ended
        if ended["status"]["phase"] != "Succeeded":
            raise Failed(task, self.log(name))
        first = next(iter(given["outputs"]["artifacts"].values()))["artifacts"][0]["uri"]
        run.finished(task, given, json.loads(self._read(f"{first.rpartition('/')[0]}/executor_output.json")))
        return ended

    def log(self, pod: str, container: str = "main") -> str:
        """What it has said."""
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod}/log"
        response = self._kube.call("GET", path, query={"container": container}, stream=True)
        return response.data.decode("utf-8", "replace")

    def _ended(self, name: str) -> Obj | None:
        found = self._kube.must("Pod", self._namespace, name)
        for status in found["status"].get("containerStatuses", ()):
            waiting = status.get("state", {}).get("waiting", {})
            assert waiting.get("reason") not in ("ErrImagePull", "InvalidImageName"), waiting
        return found if found["status"]["phase"] in ("Succeeded", "Failed") else None
