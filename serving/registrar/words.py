"""What people said of a rollout, as objects of their own: approvals and commands, which rollout each is about, and
whether it counts. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from serinus.access import AccessPolicy, justified, written
from serinus.errors import SerinusError
from serinus.kube.about import mistaken, owner
from serinus.registry.policy import check_approval, check_judgeable

from .records import Place
from .seen import moment

Object = dict[str, Any]
WordKind = Literal["RolloutApproval", "RolloutCommand"]


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """An approval or a command. ``at`` is the API server's time, in Unix seconds and whole ones; ``belongs_to`` the uid
    of the ModelRollout that owns it, empty if none does."""

    uid: str
    namespace: str
    name: str
    kind: WordKind
    rollout: str
    by: str
    at: float
    belongs_to: str = ""
    role: str = ""
    command: str = ""
    reason: str = ""

    @property
    def said(self) -> str:
        """When, in ISO 8601 (UTC)."""
        return datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds")


def read(resource: Object, kind: WordKind) -> Word:
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
        belongs_to=owner(metadata),
        role=str(spec.get("role") or "approver") if kind == "RolloutApproval" else "",
        command=str(spec.get("command") or ""),
        reason=str(spec.get("reason") or ""),
    )


def about(word: Word, named: Iterable[Place]) -> tuple[Place | None, str]:
    """Which rollout of those of that name a word is about; else None, and why it is about none of them.

    Of several that it can have meant it is the one made last: the API server had no other when it took the word.
    """
    made = [place for place in named if place.created is not None]
    why = "there was no such rollout"
    for place in sorted(made, key=lambda place: place.created or 0.0, reverse=True):
        wrong = mistaken(
            at=word.at,
            belongs_to=word.belongs_to,
            name=place.name,
            uid=place.uid,
            created=place.created or 0.0,
        )
        if wrong:
            why = wrong
        elif place.gone is not None and word.at > place.gone:
            until = datetime.fromtimestamp(place.gone, UTC).isoformat(timespec="seconds")
            return None, (
                f"it was given after {until}, until when the ModelRollout {place.name} was there as far as is known"
            )
        else:
            return place, ""
    return None, why


def refusal(word: Word, place: Place, policy: AccessPolicy) -> str:
    """Why an approval does not count, by the rules that the controller goes by; empty if it does.

    That somebody has the role they approve in, the API server has seen to.
    """
    try:
        if written(policy):
            check_judgeable(f"rollout {place.name}", built_by=place.built_by, started_by=place.started_by)
        check_approval(
            f"rollout {place.name}",
            built_by=place.built_by,
            started_by=place.started_by,
            by=word.by,
            reason=word.reason,
        )
        if word.role == policy.override.role:
            justified(policy.override, word.reason, f"rolloutapproval/{word.name}")
    except SerinusError as problem:
        return problem.what
    return ""
