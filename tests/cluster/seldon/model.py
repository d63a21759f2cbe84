"""A SeldonDeployment with the operator's defaults filled in: what the makers of objects read.

The defaults live only here; the operator never writes them back into the spec.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

from tests.cluster.kube import Obj

NO_ENGINE = "seldon.io/no-engine"
ENGINE_HTTP, ENGINE_GRPC = 8000, 5001
FIRST_HTTP, FIRST_GRPC, FIRST_METRICS = 9000, 9500, 6000
_KINDS = {
    "MODEL": "seldon.io/model",
    "ROUTER": "seldon.io/router",
    "COMBINER": "seldon.io/combiner",
    "TRANSFORMER": "seldon.io/transformer",
    "OUTPUT_TRANSFORMER": "seldon.io/output-transformer",
}


class UnsupportedError(Exception):
    """The SeldonDeployment asks for what this stand-in does not do."""


class Ports(NamedTuple):
    """What a container answers on."""

    http: int
    grpc: int
    metrics: int


class Unit(NamedTuple):
    """A container that is a node of the graph."""

    name: str
    label: str
    graph: Obj
    ports: Ports


class Component(NamedTuple):
    """One Deployment's worth of a predictor."""

    deployment: str
    spec: Obj
    units: dict[str, Unit]
    replicas: int


class Predictor(NamedTuple):
    """One predictor, defaulted."""

    spec: Obj
    name: str
    service: str
    labels: dict[str, str]
    annotations: dict[str, str]
    engine: bool
    shadow: bool
    traffic: int
    ports: tuple[int, int]
    components: list[Component]


class Target(NamedTuple):
    """The whole SeldonDeployment, defaulted."""

    name: str
    namespace: str
    uid: str
    protocol: str
    transport: str
    annotations: dict[str, str]
    predictors: list[Predictor]

    @property
    def owner(self) -> Obj:
        """The owner reference of everything that is made for it."""
        return {
            "apiVersion": "machinelearning.seldon.io/v1",
            "blockOwnerDeletion": True,
            "controller": True,
            "kind": "SeldonDeployment",
            "name": self.name,
            "uid": self.uid,
        }


def short(name: str) -> str:
    """The name, or a hash of it where Kubernetes would refuse its length."""
    return (
        name if len(name) <= 63 else "seldon-" + hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    )


def compact(value: Any) -> str:
    """JSON as Go writes it."""
    return json.dumps(value, separators=(",", ":"))


def _nodes(graph: Obj) -> Iterator[Obj]:
    yield graph
    for child in graph.get("children") or []:
        yield from _nodes(child)


def read(sdep: Obj) -> Target:
    """Fill in the defaults.

    Raises:
        UnsupportedError: for what the stand-in does not do.
    """
    meta, spec = sdep["metadata"], sdep["spec"]
    if not spec.get("predictors"):
        raise UnsupportedError("there are no predictors")
    metrics = FIRST_METRICS
    predictors: list[Predictor] = []
    for given in spec["predictors"]:
        predictor, metrics = _predictor(meta["name"], spec, deepcopy(given), metrics)
        predictors.append(predictor)
    return Target(
        name=meta["name"],
        namespace=meta["namespace"],
        uid=meta.get("uid", ""),
        protocol=spec.get("protocol") or "seldon",
        transport=spec.get("transport") or "rest",
        annotations=spec.get("annotations") or {},
        predictors=predictors,
    )


def _predictor(sdep: str, spec: Obj, given: Obj, metrics: int) -> tuple[Predictor, int]:
    name = given["name"]
    labels: dict[str, str] = {"version": name, **(given.get("labels") or {})}
    annotations: dict[str, str] = given.get("annotations") or {}
    engine = annotations.get(NO_ENGINE) != "true"
    nodes = {node["name"]: node for node in _nodes(given["graph"])}
    _refuse(name, given, nodes, annotations, engine)
    # A container's service and metrics ports are counted over all containers, sidecars too. The
    # service ports start anew in each predictor; the metrics ports do not.
    slot = 0
    components: list[Component] = []
    for index, component in enumerate(given.get("componentSpecs") or []):
        containers = component["spec"]["containers"]
        units: dict[str, Unit] = {}
        for container in containers:
            node = nodes.get(container["name"])
            if node is not None:
                declared = {port.get("name"): port["containerPort"] for port in container.get("ports") or []}
                ports = Ports(
                    declared.get("http", FIRST_HTTP + slot),
                    declared.get("grpc", FIRST_GRPC + slot),
                    declared.get("metrics", metrics),
                )
                label = _KINDS[node.get("type") or "MODEL"]
                units[container["name"]] = Unit(container["name"], label, node, ports)
            slot, metrics = slot + 1, metrics + 1
        pinned = (component.get("metadata") or {}).get("name")
        tail = pinned or "-".join(container["name"] for container in containers)
        replicas = component.get("replicas", given.get("replicas", spec.get("replicas", 1)))
        components.append(Component(short(f"{sdep}-{name}-{index}-{tail}"), component, units, replicas))
    by_name = {unit.name: unit for component in components for unit in component.units.values()}
    missing = [node for node in nodes if node not in by_name]
    if missing:
        raise UnsupportedError(f"predictor {name}: no container named {missing[0]}")
    root = by_name[given["graph"]["name"]].ports
    predictor = Predictor(
        spec=given,
        name=name,
        service=annotations.get("seldon.io/svc-name") or short(f"{sdep}-{name}"),
        labels=labels,
        annotations=annotations,
        engine=engine,
        shadow=bool(given.get("shadow")),
        traffic=given.get("traffic") or 0,
        ports=(ENGINE_HTTP, ENGINE_GRPC) if engine else (root.http, root.grpc),
        components=components,
    )
    return predictor, metrics


def _refuse(name: str, given: Obj, nodes: dict[str, Obj], annotations: dict[str, str], engine: bool) -> None:
    reasons = {
        "a pre-packaged server": any(
            node.get("implementation", "UNKNOWN_IMPLEMENTATION") != "UNKNOWN_IMPLEMENTATION"
            for node in nodes.values()
        ),
        "modelUri": any(node.get("modelUri") for node in nodes.values()),
        "an explainer": bool((given.get("explainer") or {}).get("type")),
        "KEDA": any(component.get("kedaSpec") for component in given.get("componentSpecs") or []),
        "an executor in a pod of its own": annotations.get("seldon.io/engine-separate-pod") == "true",
        "a graph of several nodes without the executor": not engine and len(nodes) > 1,
    }
    for reason, so in reasons.items():
        if so:
            raise UnsupportedError(f"predictor {name} asks for {reason}, which this stand-in does not do")
