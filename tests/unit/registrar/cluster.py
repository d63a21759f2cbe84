"""Resources as the API server would tell of them; a rollout's status is written by the controller's own code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from serving.rollout.account import note
from serving.rollout.engine import new_status
from serving.rollout.kube.view import view
from serving.rollout.spec import RolloutSpec
from serving.rollout.status import Phase, RolloutStatus

Object = dict[str, Any]
BEGAN = 1_700_000_000.0
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def predictor(name: str, digest: str) -> Object:
    env = [{"name": "SERINUS_BUNDLE_DIGEST", "value": digest}]
    return {"name": name, "componentSpecs": [{"spec": {"containers": [{"name": "scorer", "env": env}]}}]}


def status_of(*turns: tuple[str, Phase], name: str = "fraud-2", began: float = BEGAN) -> RolloutStatus:
    """A status with these turns (reason, phase), one a second, by the engine's own hand."""
    spec = RolloutSpec(model="fraud", candidate="p-b", champion="p-a")
    status = new_status(spec, name=name, champion="p-a", candidate="p-b", by="ann", now=began)
    for number, (reason, phase) in enumerate(turns, 1):
        status = replace(status, phase=phase)
        status = note(status, began + number, reason, f"{reason} of {name}")
    return status


def rollout(
    *turns: tuple[str, Phase],
    uid: str = "u-1",
    name: str = "fraud-2",
    namespace: str = "cards",
    digest: str = NEW,
    champion: str = OLD,
    began: float = BEGAN,
    built_by: str = "ann",
    engine: bool = True,
) -> Object:
    """A ModelRollout with these turns."""
    status = status_of(*turns, name=name, began=began)
    shown = view(RolloutSpec(model="fraud", candidate="p-b"), status, generation=1, told=status.seq)
    shown["target"] = {"uid": "d-1", "predictor": predictor("p-a", champion)}
    if not engine:
        shown["engine"] = ""
    bundle = {"uri": "s3://models/b", "digest": digest}
    return {
        "metadata": {
            "uid": uid,
            "name": name,
            "namespace": namespace,
            "resourceVersion": "1",
            "creationTimestamp": stamp(began),
        },
        "spec": {
            "target": "fraud",
            "startedBy": "carl",
            "candidate": {"bundle": bundle, "builtBy": built_by},
        },
        "status": shown if turns else {},
    }


def approval(
    by: str = "bob",
    *,
    uid: str = "w-1",
    role: str = "approver",
    reason: str = "looked at the report",
    about: str = "fraud-2",
    at: float = BEGAN + 2,
    namespace: str = "cards",
    belongs_to: str = "",
) -> Object:
    owner = {"apiVersion": "serinus.io/v1alpha1", "kind": "ModelRollout", "name": about, "uid": belongs_to}
    return {
        "metadata": {
            **({"ownerReferences": [owner]} if belongs_to else {}),
            "uid": uid,
            "name": f"{about}-{uid}",
            "namespace": namespace,
            "resourceVersion": "1",
            "creationTimestamp": stamp(at),
        },
        "spec": {"rollout": about, "by": by, "role": role, "reason": reason},
    }


def command(kind: str = "abort", by: str = "bob", *, uid: str = "c-1", **more: Any) -> Object:
    made = approval(by, uid=uid, **more)
    about = made["spec"]["rollout"]
    return made | {"spec": {"rollout": about, "by": by, "command": kind, "reason": "wrong extract"}}


CANARY = ("StepStarted", Phase.PROGRESSING)
PROMOTED = ("Promoted", Phase.PROMOTED)
BACK = ("RolledBack", Phase.ROLLED_BACK)
STARTING = ("Starting", Phase.STARTING)
