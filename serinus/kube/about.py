"""Which ModelRollout a word (a RolloutApproval, a RolloutCommand) is about: the same rule for whoever obeys it and
whoever records it. Pure.

A word names its rollout, and names are used again. The API server's stamp says which of them it can have meant; a word
that ``serinus rollout`` makes says it by the uid of its owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serinus.kube.kinds import ROLLOUT


def owner(metadata: Mapping[str, Any]) -> str:
    """The uid of the ModelRollout that an object belongs to; empty if it does not say one."""
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("kind") == ROLLOUT.kind:
            return str(reference.get("uid") or "")
    return ""


def mistaken(*, at: float, belongs_to: str, name: str, uid: str, created: float) -> str:
    """Why a word cannot have been about a ModelRollout of that name; empty if it can.

    Args:
        at: when the word was given, by the API server (Unix seconds, whole ones).
        belongs_to: its ``owner``.
        name, uid, created: of the ModelRollout; ``created`` as ``at``.
    """
    if belongs_to and belongs_to != uid:
        return f"it belongs to another ModelRollout of the name {name}, of the uid {belongs_to}"
    if at < created:
        return (
            f"it was given before the ModelRollout {name} was made: it was about an earlier one of that name"
        )
    return ""
