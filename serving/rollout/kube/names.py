"""What things are called on the cluster: kinds, labels, field manager, and Seldon's names. Pure."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

FIELD_MANAGER = "serinus-rollout"
FINALIZER = "serinus.io/champion-first"  # a rollout is not forgotten while its candidate has traffic
REPORTER = "serinus.io/rollout"

SELDON_ID = "seldon-deployment-id"
SELDON_APP = "seldon-app"
SERVICE_NAME = "seldon.io/svc-name"
NAME_LIMIT = 63


class Kind(NamedTuple):
    """A kind as the API's paths name it."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """``apps/v1``, or ``v1`` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """The URL's path of one object, or of all in a namespace, or of all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, *(("namespaces", namespace) if namespace else ()), self.plural]
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


ROLLOUT = Kind("serinus.io", "v1alpha1", "modelrollouts", "ModelRollout")
APPROVAL = Kind("serinus.io", "v1alpha1", "rolloutapprovals", "RolloutApproval")
COMMAND = Kind("serinus.io", "v1alpha1", "rolloutcommands", "RolloutCommand")
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
