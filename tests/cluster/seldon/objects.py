"""The objects that a SeldonDeployment becomes, as they are sent to the API server. Pure."""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

from tests.cluster.kube import Obj

from .model import Component, Predictor, Target, Unit, short
from .pods import USER, containers, executor

MANAGED = {"app.kubernetes.io/managed-by": "seldon-core"}
EXECUTOR_IMAGE = "docker.io/seldonio/seldon-core-executor:1.19.0-dev"
_PODINFO_VOLUME = {
    "downwardAPI": {
        "defaultMode": 420,
        "items": [
            {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.annotations"}, "path": "annotations"}
        ],
    },
    "name": "seldon-podinfo",
}


class Made(NamedTuple):
    """Everything for one SeldonDeployment but the routing, in the order in which it is created."""

    services: list[Obj]
    scalers: list[Obj]
    budgets: list[Obj]
    deployments: list[Obj]


def make(target: Target, executor_image: str = EXECUTOR_IMAGE) -> Made:
    """All of them."""
    made = Made([], [], [], [])
    for predictor in target.predictors:
        components = [containers(target, predictor, component) for component in predictor.components]
        for component, given in zip(predictor.components, components, strict=True):
            made.services.extend(_unit_service(target, predictor, unit) for unit in component.units.values())
            with_engine = predictor.engine and component is predictor.components[0]
            beside = [executor(target, predictor, components, executor_image)] if with_engine else []
            made.deployments.append(_deployment(target, predictor, component, given + beside, with_engine))
            made.scalers.extend(_scaler(target, component))
            made.budgets.extend(_budget(target, component))
        made.services.append(_predictor_service(target, predictor))
    return made


def unit_service_name(target: Target, predictor: Predictor, unit: Unit) -> str:
    """The Service of one container of the graph."""
    return short(f"{target.name}-{predictor.name}-{unit.name}")


def _object(
    target: Target, api_version: str, kind: str, name: str, labels: dict[str, str] | None = None
) -> Obj:
    metadata: Obj = {"name": name, "namespace": target.namespace, "ownerReferences": [target.owner]}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _service(target: Target, name: str, labels: dict[str, str], ports: tuple[int, int], selector: Obj) -> Obj:
    http, grpc = ports
    spec = {
        "ports": [
            {"name": "http", "port": http, "protocol": "TCP", "targetPort": http},
            {"name": "grpc", "port": grpc, "protocol": "TCP", "targetPort": grpc},
        ],
        "selector": selector,
        "type": "ClusterIP",
    }
    return _object(target, "v1", "Service", name, labels) | {"spec": spec}


def _identity(target: Target, predictor: Predictor) -> dict[str, str]:
    return {"seldon-app": predictor.service, "seldon-deployment-id": target.name}


def _predictor_service(target: Target, predictor: Predictor) -> Obj:
    labels = MANAGED | _identity(target, predictor)
    return _service(target, predictor.service, labels, predictor.ports, {"seldon-app": predictor.service})


def _shadow(predictor: Predictor) -> dict[str, str]:
    return {"seldon.io/shadow": "true"} if predictor.shadow else {}


def _unit_service(target: Target, predictor: Predictor, unit: Unit) -> Obj:
    name = unit_service_name(target, predictor, unit)
    selector = {f"seldon-app-svc-{unit.name}": name}
    labels = MANAGED | _identity(target, predictor) | selector | {unit.label: "true"} | _shadow(predictor)
    return _service(target, name, labels, (unit.ports.http, unit.ports.grpc), selector)


def _deployment(
    target: Target, predictor: Predictor, component: Component, pods: list[Obj], with_engine: bool
) -> Obj:
    units = component.units.values()
    selector = _identity(target, predictor) | {
        f"seldon-app-svc-{unit.name}": unit_service_name(target, predictor, unit) for unit in units
    }
    labels = MANAGED | selector | _shadow(predictor) | predictor.labels
    labels |= {"app": component.deployment, "fluentd": "true"} | {unit.label: "true" for unit in units}
    given_meta = component.spec.get("metadata") or {}
    annotations = {
        **target.annotations,
        **predictor.annotations,
        **(given_meta.get("annotations") or {}),
        "prometheus.io/path": "/prometheus",
        "prometheus.io/scrape": "true",
    }
    spec: Obj = {
        "replicas": component.replicas,
        "selector": {"matchLabels": selector},
        # The operator means "10%" but sends it so that the API server reads zero.
        "strategy": {"rollingUpdate": {"maxUnavailable": 0}, "type": "RollingUpdate"},
        "template": {
            "metadata": {"annotations": annotations, "labels": (given_meta.get("labels") or {}) | labels},
            "spec": _pod(component, pods),
        },
    }
    if "progressDeadlineSeconds" in predictor.spec:
        spec["progressDeadlineSeconds"] = predictor.spec["progressDeadlineSeconds"]
    own = labels | ({"seldon-deployment-contains-svcorch": "true"} if with_engine else {})
    return _object(target, "apps/v1", "Deployment", component.deployment, own) | {"spec": spec}


def _pod(component: Component, pods: list[Obj]) -> Obj:
    pod = deepcopy(component.spec["spec"])
    pod["containers"] = pods
    pod.setdefault("dnsPolicy", "ClusterFirst")
    pod.setdefault("restartPolicy", "Always")
    pod.setdefault("schedulerName", "default-scheduler")
    pod.setdefault("securityContext", {"runAsUser": USER})
    pod.setdefault("terminationGracePeriodSeconds", 20)
    volumes: list[Obj] = pod.setdefault("volumes", [])
    if not any(volume["name"] == _PODINFO_VOLUME["name"] for volume in volumes):
        volumes.append(deepcopy(_PODINFO_VOLUME))
    return pod


def _scaler(target: Target, component: Component) -> list[Obj]:
    given = component.spec.get("hpaSpec")
    if not given:
        return []
    spec: Obj = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": component.deployment},
        "maxReplicas": given["maxReplicas"],
        "metrics": given.get("metricsv2") or [],
    }
    if "minReplicas" in given:
        spec["minReplicas"] = given["minReplicas"]
    return [
        _object(target, "autoscaling/v2", "HorizontalPodAutoscaler", component.deployment) | {"spec": spec}
    ]


def _budget(target: Target, component: Component) -> list[Obj]:
    given = component.spec.get("pdbSpec")
    if not given:
        return []
    # It selects by the SeldonDeployment alone, so it spans all of its predictors.
    spec = {"selector": {"matchLabels": {"seldon-deployment-id": target.name}}} | {
        key: given[key] for key in ("minAvailable", "maxUnavailable") if key in given
    }
    return [_object(target, "policy/v1", "PodDisruptionBudget", component.deployment) | {"spec": spec}]
