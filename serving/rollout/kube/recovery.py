"""A status that this controller cannot read: cut short, edited, emptied, or of a newer version. Pure.

What people see of it can be read still, and the champion's predictor stands beside it.
That is enough to end safe.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from ..account import note
from ..engine import new_status
from ..spec import RolloutSpec
from ..status import ENDED, Entry, Phase, RolloutStatus, Routes
from .seldon import Predictor, named, predictors
from .subject import Scene
from .view import seconds

REASON = "StatusUnreadable"
EMPTIED = "the status was emptied"
BY_HAND = "nothing was moved: set the predictors by hand"


def champion_beside(deployment: dict[str, Any], candidate: str) -> Predictor | None:
    """Who was the champion of a rollout whose status is empty: the one other predictor, while it answers clients.

    None if that cannot be told: there are several, or the candidate answers everything, so
    that it may have been promoted.
    """
    others = [p for p in predictors(deployment) if p.get("name") != candidate]
    if len(others) != 1 or others[0].get("shadow") or not others[0].get("traffic"):
        return None
    return others[0] | {"traffic": 100}


def entered(deployment: dict[str, Any] | None, candidate: str) -> bool:
    """Is the candidate's predictor in the SeldonDeployment?"""
    return deployment is not None and named(predictors(deployment), candidate) is not None


def recovered(spec: RolloutSpec, scene: Scene, shown: dict[str, Any], why: str, now: float) -> RolloutStatus:
    """The status to go on from: back to the champion, or the promotion that had taken place.

    ``shown``: the resource's status as people see it. Counts and evidence begin anew.
    """
    history = _history(shown)
    status = new_status(
        spec,
        name=scene.name,
        champion=scene.champion,
        candidate=scene.candidate,
        by=scene.spec.started_by,
        now=now,
    )
    status = replace(
        status,
        history=history,
        seq=max((entry.seq for entry in history), default=0),
        step=max(0, int(shown.get("step") or 0) - 1),
        started_at=_started(shown, now),
        decided_at=now,
    )
    phase = shown.get("phase")
    if phase == Phase.PROMOTED:
        status = replace(status, phase=Phase.PROMOTED, awaits=(), desired=Routes(stable=scene.candidate))
        then = "the promotion stands, and the rollback window begins anew"
    else:
        ending = Phase(phase) if phase in ENDED - {Phase.FAILED} else Phase.ROLLED_BACK
        status = replace(status, phase=Phase.ROLLING_BACK, awaits=(), ending=ending)
        then = "back to the champion"
    return note(status, now, REASON, f"{why}; {then}")


def _history(shown: dict[str, Any]) -> tuple[Entry, ...]:
    try:
        return tuple(
            msgspec.convert(entry | {"at": seconds(entry["at"])}, Entry, strict=False)
            for entry in shown.get("history") or []
        )
    except (KeyError, TypeError, ValueError):  # msgspec's errors are ValueErrors
        return ()


def _started(shown: dict[str, Any], now: float) -> float:
    try:
        return seconds(shown["startedAt"])
    except (KeyError, TypeError, ValueError):
        return now
