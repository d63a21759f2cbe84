"""The status of a SeldonDeployment, with the operator's ways of being wrong. Pure but for the clock it is given."""

from __future__ import annotations

from tests.cluster.kube import Obj

from .model import Target

# "Ready" is false for the first of these, in this order, that is.
_DEPENDENTS = (
    "AmbassadorMappingsReady",
    "DeploymentsReady",
    "HpasReady",
    "KedaReady",
    "PdbsReady",
    "ServicesReady",
    "istioVirtualServicesReady",
)


class Conditions:
    """The list of conditions: an unchanged one keeps its time.

    Args:
        now: the time that changed ones get, as Kubernetes writes it.
    """

    def __init__(self, given: list[Obj], now: str) -> None:
        self._by_type = {condition["type"]: condition for condition in given}
        self._now = now

    def set(self, kind: str, status: bool | None, reason: str = "", message: str = "") -> None:
        """Say it; None is Unknown."""
        said: Obj = {"type": kind, "status": "Unknown" if status is None else str(status)}
        said |= {key: value for key, value in (("reason", reason), ("message", message)) if value}
        old = self._by_type.get(kind, {})
        if {key: value for key, value in old.items() if key != "lastTransitionTime"} != said:
            self._by_type[kind] = said | {"lastTransitionTime": self._now}

    def listed(self) -> list[Obj]:
        """All of them, ``Ready`` drawn from the others, sorted by type."""
        for kind in _DEPENDENTS:
            bad = self._by_type.get(kind)
            if bad is not None and bad["status"] == "False":
                self.set("Ready", False, bad.get("reason", ""), bad.get("message", ""))
                break
        else:
            known = all(self._by_type.get(kind, {}).get("status") == "True" for kind in _DEPENDENTS)
            self.set("Ready", True if known else None)
        return [self._by_type[kind] for kind in sorted(self._by_type)]


def ready(deployment: Obj) -> bool:
    """Does its status say that all its pods are available?

    The status may be of the generation before: the operator never compares
    ``observedGeneration``, so right after a change the old ReplicaSet's pods pass
    for the new one's.
    """
    if deployment["spec"].get("replicas", 1) == 0:
        return True
    status = deployment.get("status") or {}
    return status.get("readyReplicas", 0) > 0 and status.get("unavailableReplicas", 0) == 0


def judge_deployments(conditions: Conditions, deployments: list[Obj]) -> bool:
    """Set ``DeploymentsReady`` from their ``Available`` conditions; has one of them failed for good?"""
    found = [
        {condition["type"]: condition for condition in (deployment.get("status") or {}).get("conditions", [])}
        for deployment in deployments
    ]
    available = [conditions_["Available"] for conditions_ in found if "Available" in conditions_]
    if available:
        worst = min(available, key=lambda condition: condition["status"])
        conditions.set("DeploymentsReady", worst["status"] == "True", worst["reason"], worst["message"])
    return any(
        all(by_type.get(kind, {}).get("status") == "False" for kind in ("Progressing", "Available"))
        for by_type in found
    )


def count(deployment: Obj) -> Obj:
    """What ``deploymentStatus`` says of one."""
    status = deployment.get("status") or {}
    return {key: status[key] for key in ("replicas", "availableReplicas") if status.get(key)}


def service(target: Target, name: str, ports: tuple[int, int]) -> Obj:
    """What ``serviceStatus`` says of one."""
    at = f"{name}.{target.namespace}"
    return {"svcName": name, "httpEndpoint": f"{at}:{ports[0]}", "grpcEndpoint": f"{at}:{ports[1]}"}


def address(target: Target) -> Obj:
    """Where the first predictor answers, canary or not."""
    first = target.predictors[0]
    host = f"{first.service}.{target.namespace}.svc.cluster.local"
    return {"url": f"http://{host}:{first.ports[0]}/api/v1.0/predictions"}
