"""One pass over one SeldonDeployment.

Services, scalers, budgets and Deployments first; only when the Deployments of
*all* predictors are ready, the routing, and then the removal of what is stale:
Deployments in one pass, their Services in a later one. What is stale is known
from the status, which remembers what earlier passes made. DestinationRules are
never removed.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Protocol

from tests.cluster.kube import Obj

from . import last_applied, status
from .model import Target, UnsupportedError, read
from .objects import EXECUTOR_IMAGE, make
from .routing import destination_rules, virtual_service


class Api(Protocol):
    """What a pass needs of the API server."""

    def get(self, kind: str, namespace: str | None, name: str) -> Obj | None: ...

    def create(self, obj: Obj) -> Obj: ...

    def replace(self, obj: Obj) -> Obj: ...

    def replace_status(self, obj: Obj) -> Obj: ...

    def delete(
        self, kind: str, namespace: str | None, name: str, propagation: str = "Background"
    ) -> bool: ...


def reconcile(
    api: Api, namespace: str, name: str, now: Callable[[], str], executor_image: str = EXECUTOR_IMAGE
) -> None:
    """Bring the world one pass nearer to the SeldonDeployment, and write its status if that changed."""
    sdep = api.get("SeldonDeployment", namespace, name)
    if sdep is None or "deletionTimestamp" in sdep["metadata"]:
        return
    old = sdep.get("status") or {}
    new = deepcopy(old)
    try:
        _Pass(api, read(sdep), new, now(), executor_image).run()
    except UnsupportedError as error:
        new |= {"state": "Failed", "description": str(error)}
    if new != old:
        api.replace_status(sdep | {"status": new})


class _Pass:
    def __init__(self, api: Api, target: Target, new: Obj, now: str, executor_image: str) -> None:
        self.api, self.target, self.status = api, target, new
        self.conditions = status.Conditions(new.get("conditions", []), now)
        self.made = make(target, executor_image)
        new.setdefault("deploymentStatus", {})
        new.setdefault("serviceStatus", {})

    def run(self) -> None:
        self._services()
        for kind, objects, what in (
            ("HpasReady", self.made.scalers, "HPAs"),
            ("KedaReady", [], "KEDA resources"),
            ("PdbsReady", self.made.budgets, "PDBs"),
        ):
            for wanted in objects:
                self._settle(wanted)
            self.conditions.set(kind, True, f"All {what} created" if objects else f"No {what} defined")
        deployments, ready = self._deployments()
        failed = status.judge_deployments(self.conditions, deployments)
        settled = ready and self._route()
        reason = "All services created" if settled else "Not all services created"
        self.conditions.set("ServicesReady", settled, reason)
        if ready:
            self._clean()
        self.status["replicas"] = (deployments[0].get("status") or {}).get("replicas", 0)
        self.status["address"] = status.address(self.target)
        self.status["conditions"] = self.conditions.listed()
        self.status["state"] = "Available" if settled else "Failed" if failed else "Creating"
        self.status.pop("description", None)

    def _services(self) -> None:
        for wanted in self.made.services:
            self._settle(wanted)
            name = wanted["metadata"]["name"]
            http, grpc = (port["port"] for port in wanted["spec"]["ports"])
            self.status["serviceStatus"][name] = status.service(self.target, name, (http, grpc))

    def _settle(self, wanted: Obj, exactly: bool = False) -> bool:
        """Make it as wanted; was it so already?"""
        kind, meta = wanted["kind"], wanted["metadata"]
        live = self.api.get(kind, meta["namespace"], meta["name"])
        if live is None:
            self.api.create(wanted)
            return False
        if live["spec"] == wanted["spec"] if exactly else last_applied.holds(wanted["spec"], live["spec"]):
            return True
        spec = wanted["spec"] if exactly else live["spec"] | wanted["spec"]
        self.api.replace(live | {"apiVersion": wanted["apiVersion"], "kind": kind, "spec": spec})
        return False

    def _deployments(self) -> tuple[list[Obj], bool]:
        found: list[Obj] = []
        ready = True
        for wanted in self.made.deployments:
            live, there = self._deployment(wanted)
            found.append(live)
            ready = ready and there and status.ready(live)
            self.status["deploymentStatus"][live["metadata"]["name"]] = status.count(live)
        return found, ready

    def _deployment(self, wanted: Obj) -> tuple[Obj, bool]:
        """The live one, made as wanted; was there one before, whose status may be believed?"""
        namespace, name = wanted["metadata"]["namespace"], wanted["metadata"]["name"]
        live = self.api.get("Deployment", namespace, name)
        if live is None:
            sent = _as_sent({"metadata": wanted["metadata"], "spec": wanted["spec"], "status": {}})
            return self.api.create(_annotated(wanted, sent)), False
        if live["spec"]["selector"] != wanted["spec"]["selector"]:
            # A selector cannot be changed: it goes, and the next pass makes it anew.
            self.api.delete("Deployment", namespace, name, "Foreground")
            return live, False
        wanted = deepcopy(wanted)
        if any(scaler["metadata"]["name"] == name for scaler in self.made.scalers):
            wanted["spec"]["replicas"] = live["spec"]["replicas"]
        if not _differs(wanted, live):
            return live, True
        meta = {key: value for key, value in live["metadata"].items() if key != "annotations"}
        changed = live | {"metadata": meta | {"labels": wanted["metadata"]["labels"]}, "spec": wanted["spec"]}
        # The status comes back as it was, of the ReplicaSet before this change.
        return self.api.replace(_annotated(changed, _as_sent(changed))), True

    def _route(self) -> bool:
        """Services are there and Deployments ready: now the routes. Had they been so already?"""
        for rule in destination_rules(self.target):
            self._settle(rule, exactly=True)
        settled = self._settle(virtual_service(self.target), exactly=True)
        reason = "All VirtualServices created" if settled else "Not all VirtualServices created"
        self.conditions.set("istioVirtualServicesReady", settled, reason)
        self.conditions.set("AmbassadorMappingsReady", True, "No Ambassador Mappaings defined")
        return settled

    def _clean(self) -> None:
        namespace = self.target.namespace
        wanted = {deployment["metadata"]["name"] for deployment in self.made.deployments}
        stale = [name for name in self.status["deploymentStatus"] if name not in wanted]
        for name in stale:
            if not self.api.delete("Deployment", namespace, name, "Foreground"):
                del self.status["deploymentStatus"][name]
                for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget"):
                    self.api.delete(kind, namespace, name)
        if stale:
            return
        services = {service["metadata"]["name"] for service in self.made.services}
        for name in [name for name in self.status["serviceStatus"] if name not in services]:
            if not self.api.delete("Service", namespace, name):
                del self.status["serviceStatus"][name]


def _as_sent(obj: Obj) -> Obj:
    sent = deepcopy(obj)
    sent["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] = "10%"
    return sent


def _annotated(obj: Obj, sent: Obj) -> Obj:
    annotated = deepcopy(obj)
    annotated["metadata"]["annotations"] = {last_applied.ANNOTATION: last_applied.note(sent)}
    return annotated


def _differs(wanted: Obj, live: Obj) -> bool:
    """Is it not what was sent last, or has someone changed it since?"""
    sent = last_applied.noted(live)
    if sent is None or sent["spec"] != _as_sent(wanted)["spec"]:
        return True
    labels = wanted["metadata"]["labels"]
    return not (last_applied.holds(wanted["spec"], live["spec"]) and labels == live["metadata"]["labels"])
