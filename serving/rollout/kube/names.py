"""What things are called on the cluster: kinds, labels, field manager, and Seldon's names. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

from serinus.kube.kinds import APPROVAL, COMMAND, FIELD_MANAGER, ROLLOUT, Kind

__all__ = [
    "APPROVAL",
    "COMMAND",
    "DEPLOYMENT",
    "EVENT",
    "FIELD_MANAGER",
    "FINALIZER",
    "LEASE",
    "POD",
    "REPORTER",
    "REVIEW",
    "ROLLOUT",
    "SELDON",
    "SELDON_APP",
    "SELDON_ID",
    "SERVICE_NAME",
    "SLICE",
    "VIRTUAL_SERVICE",
    "Kind",
    "predictor_of",
    "service_of",
]

FINALIZER = "serinus.io/champion-first"  # a rollout is not forgotten while its candidate has traffic
REPORTER = "serinus.io/rollout"

SELDON_ID = "seldon-deployment-id"
SELDON_APP = "seldon-app"
SERVICE_NAME = "seldon.io/svc-name"
NAME_LIMIT = 63


SELDON = Kind("machinelearning.seldon.io", "v1", "seldondeployments", "SeldonDeployment")
VIRTUAL_SERVICE = Kind("networking.istio.io", "v1", "virtualservices", "VirtualService")
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
POD = Kind("", "v1", "pods", "Pod")
SLICE = Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
EVENT = Kind("events.k8s.io", "v1", "events", "Event")
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")
REVIEW = Kind("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview")


def predictor_of(digest: str) -> str:
    """The predictor that serves a bundle: ``p-`` and the first ten hex digits of its digest."""
    return f"p-{digest.removeprefix('sha256:')[:10]}"


def service_of(target: str, predictor: dict[str, Any]) -> str:
    """The Service of a predictor, as Seldon names it; also the value of its pods' ``seldon-app`` label."""
    named = (predictor.get("annotations") or {}).get(SERVICE_NAME)
    if named:
        return str(named)
    name = f"{target}-{predictor['name']}"
    if len(name) <= NAME_LIMIT:
        return name
    return f"seldon-{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()}"
