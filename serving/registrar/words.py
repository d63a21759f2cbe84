"""What people said of a rollout, as objects of their own: approvals and commands, and whether a word counts. Pure."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from serinus.access import AccessPolicy, justified
from serinus.errors import SerinusError
from serinus.registry.policy import check_approval

from .seen import Seen, moment

Object = dict[str, Any]


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """An approval or a command. ``at`` is the API server's time, in Unix seconds and whole ones."""

    uid: str
    namespace: str
    name: str
    kind: Literal["RolloutApproval", "RolloutCommand"]
    rollout: str
    by: str
    at: float
    role: str = ""
    command: str = ""
    reason: str = ""


def read(resource: Object, kind: Literal["RolloutApproval", "RolloutCommand"]) -> Word:
    """A RolloutApproval or RolloutCommand as it was listed or told of."""
    metadata, spec = resource["metadata"], resource.get("spec") or {}
    return Word(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        kind=kind,
        rollout=str(spec.get("rollout") or ""),
        by=str(spec.get("by") or ""),
        at=moment(metadata["creationTimestamp"]),
        role=str(spec.get("role") or "approver") if kind == "RolloutApproval" else "",
        command=str(spec.get("command") or ""),
        reason=str(spec.get("reason") or ""),
    )


def refusal(word: Word, about: Seen, policy: AccessPolicy) -> str:
    """Why an approval does not count, by the rules that the controller goes by; empty if it does.

    That somebody has the role they approve in, the API server has seen to.
    """
    if word.at < about.created:
        return f"it was given before the ModelRollout {about.name} was made: it was about an earlier one of that name"
    try:
        check_approval(
            f"rollout {about.name}",
            built_by=about.built_by,
            started_by=about.started_by,
            by=word.by,
            reason=word.reason,
        )
        if word.role == policy.override.role:
            justified(policy.override, word.reason, f"rolloutapproval/{word.name}")
    except SerinusError as problem:
        return problem.what
    return ""
