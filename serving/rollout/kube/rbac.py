"""What the controller may do on the cluster, as data. A test proves each line needed, and all of them enough.

``Rule.why`` says what would not work without it. Nothing here reads a Secret or
a ConfigMap, and nothing writes a workload: traffic is moved by one field of the
SeldonDeployment.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Rule(NamedTuple):
    """One line of a Role: verbs on a resource."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str


# In each namespace that is served (or everywhere, by a ClusterRole).
RULES: tuple[Rule, ...] = (
    Rule("serinus.io", "modelrollouts", ("get", "list", "watch", "patch"), "rollouts, and their finalizer"),
    Rule("serinus.io", "modelrollouts/status", ("patch",), "phase, conditions and evidence"),
    Rule("serinus.io", "rolloutapprovals", ("list", "watch"), "who agreed"),
    Rule("serinus.io", "rolloutcommands", ("list", "watch"), "what people asked for"),
    Rule(
        "machinelearning.seldon.io", "seldondeployments", ("get", "list", "watch", "patch"), "what is moved"
    ),
    Rule("networking.istio.io", "virtualservices", ("get", "list", "watch"), "whether traffic really moved"),
    Rule("discovery.k8s.io", "endpointslices", ("list", "watch"), "who answers behind a predictor's Service"),
    Rule("apps", "deployments", ("list", "watch"), "whether a predictor is ready"),
    Rule("", "pods", ("list", "watch"), "crash loops, evictions, and where to read counters"),
    Rule("events.k8s.io", "events", ("create",), "each turn of a rollout is told once"),
)

# In the controller's own namespace.
LEASE_RULES: tuple[Rule, ...] = (
    Rule("coordination.k8s.io", "leases", ("get", "create", "update"), "two replicas, one of them acting"),
)


def rules(of: tuple[Rule, ...] = RULES) -> list[dict[str, Any]]:
    """The rules as a Role or ClusterRole holds them."""
    return [{"apiGroups": [r.group], "resources": [r.resource], "verbs": list(r.verbs)} for r in of]
