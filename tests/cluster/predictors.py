"""SeldonDeployments for tests: small servers in pods that restricted Pod Security admits."""

from __future__ import annotations

from typing import Any

from .kube import Kube, Obj
from .node import EXECUTOR, TEST_SERVER

RESTRICTED_POD: Obj = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED: Obj = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def http_probe(path: str, port: int = 9000, **more: int) -> Obj:
    """A probe by GET, quick enough for tests."""
    return {"httpGet": {"path": path, "port": port}, "periodSeconds": 1, "failureThreshold": 3} | more


def predictor(
    name: str,
    traffic: int = 0,
    *,
    target: str = "fraud",
    image: str = TEST_SERVER,
    env: dict[str, str] | None = None,
    replicas: int = 1,
    **more: Any,
) -> Obj:
    """One predictor of one container named ``scorer``, in the form that the model chart gives it."""
    container: Obj = {
        "name": "scorer",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
        # Its own metrics port, or the operator would number it by the predictors before it.
        "ports": [{"name": "metrics", "containerPort": 6000, "protocol": "TCP"}],
        "readinessProbe": http_probe("/ready"),
        "livenessProbe": http_probe("/live", periodSeconds=5),
        # Until the proxy has heard that the pod is going.
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "securityContext": RESTRICTED,
    }
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": RESTRICTED_POD,
        "terminationGracePeriodSeconds": 20,
        "containers": [container],
    }
    return {
        "name": name,
        "annotations": {"seldon.io/no-engine": str(not EXECUTOR).lower(), "version": name},
        "labels": {"version": name},
        "graph": {"name": "scorer", "type": "MODEL"},
        "componentSpecs": [{"metadata": {"name": f"{target}-{name}"}, "spec": pod}],
        "replicas": replicas,
        "traffic": traffic,
    } | more


def seldon_deployment(namespace: str, name: str, *predictors: Obj) -> Obj:
    """A SeldonDeployment of these predictors."""
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"name": name, "protocol": "seldon", "predictors": list(predictors)},
    }


class Served:
    """A SeldonDeployment that lives, as tests see it."""

    def __init__(self, kube: Kube, namespace: str, name: str = "fraud") -> None:
        self.kube, self.namespace, self.name = kube, namespace, name

    def create(self, *predictors: Obj, labels: dict[str, str] | None = None) -> None:
        """Ask for it."""
        made = seldon_deployment(self.namespace, self.name, *predictors)
        made["metadata"]["labels"] = labels or {}
        self.kube.create(made)

    def set_predictors(self, *predictors: Obj) -> None:
        """Write the whole list anew."""
        self.kube.patch(
            "SeldonDeployment", self.namespace, self.name, {"spec": {"predictors": list(predictors)}}
        )

    @property
    def predictors(self) -> dict[str, int]:
        """The predictors asked for, with their traffic."""
        sdep = self.kube.must("SeldonDeployment", self.namespace, self.name)
        return {predictor["name"]: predictor.get("traffic", 0) for predictor in sdep["spec"]["predictors"]}

    @property
    def weights(self) -> dict[str, int]:
        """What the VirtualService routes where."""
        service = self.kube.get("VirtualService", self.namespace, self.name)
        routes = service["spec"]["http"][0]["route"] if service else []
        return {route["destination"]["subset"]: route.get("weight", 0) for route in routes}

    def endpoints(self, predictor: str) -> int:
        """How many of its endpoints take requests."""
        label = f"kubernetes.io/service-name={self.name}-{predictor}"
        slices = self.kube.list("EndpointSlice", self.namespace, label)
        found = [endpoint for piece in slices for endpoint in piece.get("endpoints") or []]
        return sum((one.get("conditions") or {}).get("ready", True) is not False for one in found)

    def pods(self, predictor: str) -> list[Obj]:
        """The pods of a predictor, those that are ending too."""
        label = f"seldon-deployment-id={self.name},version={predictor}"
        return self.kube.list("Pod", self.namespace, label)
