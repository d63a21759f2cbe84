"""The rollout controller as tests run it: pods of our chart, or processes of this machine while one works on it."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from tests.cluster import node
from tests.cluster.kube import Kube
from tests.cluster.waiting import eventually

LEASE = "serinus-rollout"


class Controller(Protocol):
    """Two replicas, one of which acts."""

    def start(self) -> None:
        """Both, and wait until one acts."""
        ...

    def kill_leader(self) -> str:
        """End the acting one at once, without a word to it; who it was."""
        ...

    def logs(self) -> str:
        """What both wrote."""
        ...

    def stop(self) -> None:
        """Both."""
        ...


def leader(kube: Kube, namespace: str) -> str:
    """Who holds the lease; empty for nobody."""
    found = kube.get("Lease", namespace, LEASE)
    return str(((found or {}).get("spec") or {}).get("holderIdentity") or "")


class Pods:
    """The chart's Deployment of two, serving one namespace by a Role in it."""

    def __init__(self, kube: Kube, models: str, namespace: str, *more: str) -> None:
        self._kube, self._models, self._namespace, self._more = kube, models, namespace, more

    def start(self) -> None:
        values = {
            "image.registry": node.PREFIX,
            "image.tag": node.TAG,
            "watchNamespaces": f"{{{self._models}}}",
            "controller.interval": "2s",
            # Of the whole cluster, which others may share: brought by the tests, or tested elsewhere.
            "crds.install": "false",
            "admission.enabled": "false",
            "rbac.userRoles": "false",
            "retrain.enabled": "false",
        }
        sets = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
        chart = str(node.ROOT / "charts" / "serinus")
        try:
            install = ["install", "serinus", chart, "-n", self._namespace, *sets, *self._more]
            node.helm(*install, "--wait", "--timeout", "5m")
            self._acting()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def _names(self) -> list[str]:
        pods = self._kube.list("Pod", self._namespace, "app.kubernetes.io/component=controller")
        return [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def _acting(self) -> str:
        def found() -> str:
            holder = leader(self._kube, self._namespace)
            return next((name for name in self._names() if holder.startswith(name)), "")

        return eventually(found, 180, what="a controller acts")

    def metrics(self) -> str:
        """The page of the one that acts."""
        pod = self._kube.must("Pod", self._namespace, self._acting())
        connection = http.client.HTTPConnection(pod["status"]["podIP"], 9090, timeout=30)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def kill_leader(self) -> str:
        name = self._acting()
        now = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        self._kube.call("DELETE", f"/api/v1/namespaces/{self._namespace}/pods/{name}", now)
        return name

    def logs(self) -> str:
        command = [node.tool("kubectl"), "-n", self._namespace, "logs", "--prefix", "--tail=200"]
        command += ["-l", "app.kubernetes.io/component=controller"]
        environment = os.environ | {"KUBECONFIG": node.kubeconfig()}
        return subprocess.run(command, env=environment, capture_output=True, text=True).stdout

    def stop(self) -> None:
        node.helm("uninstall", "serinus", "-n", self._namespace, "--wait")


class Processes:
    """``python -m serving.rollout.kube`` twice, as whoever the kubeconfig says."""

    def __init__(self, kube: Kube, namespace: str, logs: Path, *more: str) -> None:
        self._kube, self._namespace, self._logs, self._more = kube, namespace, logs, more
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._made = 0

    def start(self) -> None:
        while len(self._running) < 2:
            self._one()
        self._acting()

    def _one(self) -> None:
        self._made += 1
        name = f"controller-{self._made}"
        command = [
            *(sys.executable, "-m", "serving.rollout.kube", "--namespace", self._namespace),
            *("--kubeconfig", node.kubeconfig(), "--lease-namespace", self._namespace, "--identity", name),
            *("--interval", "2s", "--host", "127.0.0.1", "--health-port", "0", "--metrics-port", "0"),
            *self._more,
        ]
        with (self._logs / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(command, cwd=node.ROOT, stdout=log, stderr=log)

    def _acting(self) -> str:
        def found() -> str:
            holder = leader(self._kube, self._namespace)
            return next((name for name in self._running if holder.startswith(name)), "")

        return eventually(found, 180, what="a controller acts")

    def kill_leader(self) -> str:
        name = self._acting()
        process = self._running.pop(name)
        process.kill()
        process.wait()
        self._one()
        return name

    def logs(self) -> str:
        return "\n".join(path.read_text()[-8000:] for path in sorted(self._logs.glob("*.log")))

    def stop(self) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait(60)
        self._running.clear()
