"""What becomes of a predictor's containers: ports, environment, probes and the executor beside them."""

from __future__ import annotations

import base64
from copy import deepcopy

from tests.cluster.kube import Obj

from .model import ENGINE_GRPC, ENGINE_HTTP, Component, Predictor, Target, Unit, compact

PODINFO = {"mountPath": "/etc/podinfo", "name": "seldon-podinfo"}
USER = 8888
_TERMINATION = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}


def containers(target: Target, predictor: Predictor, component: Component) -> list[Obj]:
    """The given containers, those of the graph completed and the others as they are."""
    made: list[Obj] = []
    for given in component.spec["spec"]["containers"]:
        unit = component.units.get(given["name"])
        container = deepcopy(given)
        container.setdefault("resources", {})
        if unit is not None:
            _complete(target, predictor, unit, container)
        made.append(container)
    return made


def _complete(target: Target, predictor: Predictor, unit: Unit, container: Obj) -> None:
    http, grpc, metrics = unit.ports
    container.setdefault("imagePullPolicy", "IfNotPresent")
    for key, value in _TERMINATION.items():
        container.setdefault(key, value)
    ports: list[Obj] = container.setdefault("ports", [])
    named = {port.get("name") for port in ports}
    for name, number in (("metrics", metrics), ("http", http), ("grpc", grpc)):
        if name not in named:
            ports.append({"name": name, "containerPort": number, "protocol": "TCP"})
    _environment(target, predictor, unit, container)
    mounts: list[Obj] = container.setdefault("volumeMounts", [])
    if not any(mount["name"] == PODINFO["name"] for mount in mounts):
        mounts.append(dict(PODINFO))
    container.setdefault("livenessProbe", _probe({"tcpSocket": {"port": http}}, delay=60))
    container.setdefault("readinessProbe", _probe({"tcpSocket": {"port": http}}, delay=20))
    container.setdefault("lifecycle", {"preStop": {"exec": {"command": ["/bin/sh", "-c", "/bin/sleep 10"]}}})


def _probe(how: Obj, delay: int, timeout: int = 1) -> Obj:
    return how | {
        "initialDelaySeconds": delay,
        "timeoutSeconds": timeout,
        "periodSeconds": 5,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def _environment(target: Target, predictor: Predictor, unit: Unit, container: Obj) -> None:
    http, grpc, metrics = (str(port) for port in unit.ports)
    parameters = unit.graph.get("parameters")
    injected = {
        "PREDICTIVE_UNIT_SERVICE_PORT": http,
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": http,
        "MLSERVER_HTTP_PORT": http,
        "PREDICTIVE_UNIT_GRPC_SERVICE_PORT": grpc,
        "MLSERVER_GRPC_PORT": grpc,
        **({"PREDICTIVE_UNIT_PARAMETERS": compact(parameters)} if parameters else {}),
        "PREDICTIVE_UNIT_ID": unit.name,
        "MLSERVER_MODEL_NAME": unit.name,
        "PREDICTIVE_UNIT_IMAGE": container["image"],
        "PREDICTOR_ID": predictor.name,
        "PREDICTOR_LABELS": compact(dict(sorted(predictor.labels.items()))),
        "SELDON_DEPLOYMENT_ID": target.name,
        "SELDON_EXECUTOR_ENABLED": "true",
        "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": metrics,
        "PREDICTIVE_UNIT_METRICS_ENDPOINT": "/prometheus",
        "MLSERVER_METRICS_PORT": metrics,
        "MLSERVER_METRICS_ENDPOINT": "/prometheus",
    }
    env: list[Obj] = container.setdefault("env", [])
    there = {variable["name"] for variable in env}
    env += [{"name": name, "value": value} for name, value in injected.items() if name not in there]


def executor(target: Target, predictor: Predictor, made: list[list[Obj]], image: str) -> Obj:
    """The executor's container, told the predictor as JSON: without traffic and replicas, which may change."""
    orchestrator = predictor.spec.get("svcOrchSpec") or {}
    probes = {"port": ENGINE_HTTP, "scheme": "HTTP"}
    return {
        "name": "seldon-container-engine",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            *("--sdep", target.name, "--namespace", target.namespace, "--predictor", predictor.name),
            *("--http_port", str(ENGINE_HTTP), "--grpc_port", str(ENGINE_GRPC)),
            *("--protocol", target.protocol, "--transport", target.transport),
            *("--prometheus_path", "/prometheus", "--server_type", "rpc"),
            *(
                "--log_work_buffer_size",
                "10000",
                "--log_write_timeout_ms",
                "2000",
                "--full_health_checks=false",
            ),
        ],
        "env": [
            {"name": "ENGINE_PREDICTOR", "value": _told(predictor, made)},
            {"name": "REQUEST_LOGGER_DEFAULT_ENDPOINT", "value": "http://default-broker"},
            *(orchestrator.get("env") or []),
        ],
        "ports": [
            {"name": "http", "containerPort": ENGINE_HTTP, "protocol": "TCP"},
            {"name": "metrics", "containerPort": ENGINE_HTTP, "protocol": "TCP"},
            {"name": "grpc", "containerPort": ENGINE_GRPC, "protocol": "TCP"},
        ],
        "livenessProbe": _probe({"httpGet": {"path": "/live", **probes}}, delay=20, timeout=60),
        "readinessProbe": _probe({"httpGet": {"path": "/ready", **probes}}, delay=20, timeout=60),
        "resources": orchestrator.get("resources")
        or {key: {"cpu": "500m", "memory": "512Mi"} for key in ("limits", "requests")},
        "securityContext": {"allowPrivilegeEscalation": False, "runAsUser": USER},
        "volumeMounts": [dict(PODINFO)],
        **_TERMINATION,
    }


def _told(predictor: Predictor, made: list[list[Obj]]) -> str:
    spec = predictor.spec
    units = {name: unit for component in predictor.components for name, unit in component.units.items()}

    def node(given: Obj) -> Obj:
        http, grpc, _ = units[given["name"]].ports
        endpoint = {"service_host": "localhost", "service_port": http, "httpPort": http, "grpcPort": grpc}
        defaults = {"type": "MODEL", "implementation": "UNKNOWN_IMPLEMENTATION", "endpoint": endpoint}
        children = {"children": [node(child) for child in given["children"]]} if given.get("children") else {}
        return defaults | given | children

    components = [
        component
        | {"metadata": {"creationTimestamp": None} | (component.get("metadata") or {})}
        | {"spec": component["spec"] | {"containers": containers_}}
        for component, containers_ in zip(spec["componentSpecs"], made, strict=True)
    ]
    told = {key: value for key, value in spec.items() if key not in ("traffic", "explainer")} | {
        "graph": node(spec["graph"]),
        "componentSpecs": components,
        "replicas": 0,
        "engineResources": {},
        "labels": predictor.labels,
        "svcOrchSpec": spec.get("svcOrchSpec") or {},
    }
    return base64.b64encode(compact(told).encode()).decode()
