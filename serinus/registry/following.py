"""What a rollout's turns mean for the stages of its versions: the same on one machine and on a cluster. The traffic
has moved already: the registry does not stop that, and what it refuses is said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from serinus.errors import SerinusError
from serinus.registry.records import Turn
from serinus.registry.store import Registry

STAGES = {
    "StepStarted": "canary",
    "Promoted": "champion",
    "RolledBack": "rolled_back",
    "Aborted": "rolled_back",
}
HAD_TRAFFIC = ("canary", "champion", "rolled_back")
"""Stages of what has answered requests."""
ANSWERED = "it answered when a rollout began, as the cluster has it"
"""Why a version is champion that no rollout has made one."""

Place = tuple[str, int]
"""Model and version."""


def follow(
    registry: Registry,
    turn: str,
    *,
    by: str,
    why: str,
    candidate: Place | None,
    champion: Place | None,
    at: float | None = None,
) -> list[str]:
    """Bring the stages of a rollout's two versions to where a turn has put them. Done again, it changes nothing.

    Args:
        turn: the turn's reason, such as ``Promoted``; most turns mean nothing for a stage.
        by, why: who made it, and in which words.
        candidate, champion: as the registry knows them; None for one that it does not know.
        at: when the turn was (Unix seconds). What has moved in the registry since is left alone. None: now.

    Returns:
        What was not followed, and why; empty if all was.
    """
    stage = STAGES.get(turn)
    if stage is None:
        return []
    missed: list[str] = []
    if candidate is not None:
        if stage == "rolled_back" and _never_live(registry, candidate):
            return []  # what never came as far as traffic is what it was before
        missed += _move(registry, candidate, stage, by=by, why=why, at=at)
    if stage == "rolled_back" and champion is not None and not missed and _returns(registry, champion, why):
        # Rolled back after its promotion: the former champion serves again, and is one again.
        for step in ("canary", "champion"):
            missed += _move(registry, champion, step, by=by, why=why, at=at)
    return missed


def serving(registry: Registry, champion: Place, *, by: str, why: str) -> list[str]:
    """Note who answered when a rollout began, where the registry has no champion of that model.

    Returns:
        What the registry refused; empty if nothing.
    """
    model, version = champion
    versions = registry.versions(model)
    now = next((found.stage for found in versions if found.version == version), "")
    if now not in ("validated", "approved") or any(found.stage == "champion" for found in versions):
        return []
    return _move(registry, champion, "champion", by=by, why=why, at=None)


def _never_live(registry: Registry, candidate: Place) -> bool:
    turns = registry.history(*candidate)
    return bool(turns) and turns[-1].stage not in HAD_TRAFFIC


def _returns(registry: Registry, champion: Place, why: str) -> bool:
    turns = registry.history(*champion)
    # Killed between the two moves, it is told again, and goes on from there.
    return bool(turns) and (
        turns[-1].stage == "retired" or (turns[-1].stage == "canary" and turns[-1].reason == why)
    )


def _move(registry: Registry, place: Place, stage: str, *, by: str, why: str, at: float | None) -> list[str]:
    model, version = place
    try:
        if at is not None and (later := _later(registry, place, stage, at)):
            return [later]
        registry.set_stage(model, version, stage, by=by, reason=why)
    except SerinusError as problem:
        if problem.code in ("SRN-REGISTRY-002", "SRN-REGISTRY-003"):
            return [str(problem)]
        raise
    return []


def _later(registry: Registry, place: Place, stage: str, at: float) -> str:
    """What the registry has of later, in words."""
    looked = [place]
    if stage == "champion":
        looked += [(place[0], v.version) for v in registry.versions(place[0]) if v.stage == "champion"]
    for one in looked:
        last = _moved(registry.history(*one))
        if last is not None and datetime.fromisoformat(last.time).timestamp() > at:
            return f"{one[0]}/{one[1]} is {last.stage} since {last.time}, which is after this turn"
    return ""


def _moved(turns: Sequence[Turn]) -> Turn | None:
    """The last turn that says where a version stands. That it was registered, or that its words were all there, says
    nothing of its traffic, and may be before the step that came first is heard."""
    if len(turns) == 1:
        return None
    if len(turns) > 1 and (turns[-2].stage, turns[-1].stage) == ("validated", "approved"):
        return _moved(turns[:-1])
    return turns[-1] if turns else None
