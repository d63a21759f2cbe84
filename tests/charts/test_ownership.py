"""Who owns which field of a SeldonDeployment, on a real API server: what the docs say to GitOps tools."""

from __future__ import annotations

import json
from typing import Any

from .server import Cluster
from .support import Obj, model, one

TOOLS = ("kubectl",)


def _apply(cluster: Cluster, object_: Obj, manager: str, *more: str) -> str:
    done = cluster.run(
        "apply", "--server-side", f"--field-manager={manager}", *more, "-f", "-", given=json.dumps(object_)
    )
    return done.stderr if done.returncode else ""


def _live(cluster: Cluster) -> Obj:
    asked = ("get", "seldondeployment", "fraud", "-n", "models", "-o", "json", "--show-managed-fields")
    return json.loads(cluster.run(*asked).stdout)


def _owners(live: Obj, field: str) -> set[str]:
    fields: list[dict[str, Any]] = live["metadata"]["managedFields"]
    return {one["manager"] for one in fields if f"f:{field}" in one["fieldsV1"].get("f:spec", {})}


def test_a_gitops_tool_keeps_the_rest_and_leaves_the_predictors(cluster: Cluster) -> None:
    desired = one(model(), "SeldonDeployment")
    assert _apply(cluster, desired, "argocd-controller") == ""
    assert _owners(_live(cluster), "predictors") == {"argocd-controller"}

    # A promotion, as the controller applies it.
    promoted = one(
        model("bundle.uri=s3://models/next", f"bundle.digest=sha256:{'ab' * 32}"), "SeldonDeployment"
    )
    part = {
        "apiVersion": desired["apiVersion"],
        "kind": desired["kind"],
        "metadata": {"name": "fraud", "namespace": "models"},
        "spec": {"predictors": promoted["spec"]["predictors"]},
    }
    assert _apply(cluster, part, "serinus-rollout", "--force-conflicts") == ""
    assert _owners(_live(cluster), "predictors") == {"serinus-rollout"}

    # Named without force it is a conflict, with force a promotion undone: hence the ignore rules.
    assert 'conflict with "serinus-rollout"' in _apply(cluster, desired, "argocd-controller")

    # Left out, as the rules have it, it stays, and the rest is still the tool's.
    without = {**desired, "spec": {**desired["spec"], "protocol": "v2"}}
    del without["spec"]["predictors"]
    assert _apply(cluster, without, "argocd-controller") == ""
    live = _live(cluster)
    assert live["spec"]["protocol"] == "v2"
    assert [predictor["name"] for predictor in live["spec"]["predictors"]] == ["p-ababababab"]
    assert _owners(live, "predictors") == {"serinus-rollout"}
    assert _owners(live, "protocol") == {"argocd-controller"}
