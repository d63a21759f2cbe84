"""A version that was registered after rollouts of it had begun: it goes through the stages that it has missed.

What it would have been through is worked out first, and entered as one, so that a version which was champion once and
is no more takes the place of nobody who answers now.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from serinus.errors import SerinusError
from serinus.registry.following import ANSWERED, HAD_TRAFFIC, STAGES, Place
from serinus.registry.policy import check_stage
from serinus.registry.records import Turn
from serinus.registry.store import Registry

_FRESH = ("validated", "approved")


class Missed(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout's turn that nobody could hold against the registry, since the version was not in it.

    ``candidate`` says whether the version was the candidate of that rollout, or else the champion before it; ``at`` is
    in Unix seconds, ``by`` and ``why`` who made the turn, and in which words.
    """

    turn: str
    at: float
    by: str
    why: str
    candidate: bool


def course(
    missed: Sequence[Missed], stage: str, champion_then: Callable[[float], bool], subject: str = ""
) -> tuple[list[Turn], list[str]]:
    """The moves that ``follow`` and ``serving`` would have made of one version, had it been known. Pure.

    Args:
        missed: in the order in which they happened.
        stage: where the version is.
        champion_then: whether the model had another champion at a time.

    Returns:
        The moves, and what the rules of stages refuse of them.
    """
    moves, refused = list[Turn](), list[str]()
    for one in missed:
        for to in _stages(one, stage, champion_then):
            try:
                check_stage(subject, stage, to)
            except SerinusError as problem:
                refused.append(str(problem))
                break
            why = ANSWERED if (to, one.turn, one.candidate) == ("champion", "StepStarted", False) else one.why
            moves.append(Turn(stage=to, time=_time(one.at), by=one.by, reason=why))
            stage = to
    return moves, refused


def _stages(one: Missed, stage: str, champion_then: Callable[[float], bool]) -> tuple[str, ...]:
    to = STAGES.get(one.turn, "")
    if one.candidate:
        if not to or to == stage or (to == "rolled_back" and stage not in HAD_TRAFFIC):
            return ()
        return (to,)
    if to == "canary":
        return ("champion",) if stage in _FRESH and not champion_then(one.at) else ()
    if to == "champion":
        return ("retired",) if stage == "champion" else ()
    # The other was rolled back after its promotion, and this one serves again.
    return ("canary", "champion") if to == "rolled_back" and stage == "retired" else ()


def catch_up(registry: Registry, place: Place, missed: Sequence[Missed]) -> list[str]:
    """Bring a version to where the rollouts of before its registration have put it. Done again, it changes nothing.

    All its moves are entered or none, each with the time of its turn. Where it is champion at their end, the champion
    before it is retired; where another has become champion since, it is retired by that one, as it would have been.

    Args:
        missed: in the order in which they happened.

    Returns:
        What was not followed, and why: the rules refuse it, or the version has been moved since.

    Raises:
        SerinusError: ``SRN-REGISTRY-001``, ``-002``.
    """
    model, version = place
    registry.get(model, version)
    with registry.transaction() as db:
        history = _histories(db, model)
        own, others = history.pop(version), history
        fresh = own[-1].stage in _FRESH
        moves, refused = course(
            missed,
            own[-1].stage if fresh else "validated",
            lambda at: any(_stage_at(turns, at) == "champion" for turns in others.values()),
            f"{model}/{version}",
        )
        retired: list[tuple[int, Turn]] = []
        if moves and moves[-1].stage == "champion":
            last = moves[-1]
            for number, turns in others.items():
                if turns[-1].stage != "champion":
                    continue
                if turns[-1].time > last.time:
                    why = f"replaced by {model}/{number}"
                    moves.append(Turn(stage="retired", time=turns[-1].time, by=turns[-1].by, reason=why))
                    break
                why = f"replaced by {model}/{version}"
                retired.append((number, Turn(stage="retired", time=last.time, by=last.by, reason=why)))
        if not fresh:
            if not moves or own[-1] == moves[-1]:
                return refused
            return [*refused, f"{model}/{version} is {own[-1].stage} since {own[-1].time}, and stays so"]
        for number, move in [*((version, move) for move in moves), *retired]:
            registry.move(db, model, number, move.stage, by=move.by, reason=move.reason, time=move.time)
    return refused


def _histories(db: sqlite3.Connection, model: str) -> dict[int, list[Turn]]:
    found: dict[int, list[Turn]] = {}
    rows = db.execute(
        "SELECT version, stage, time, by, reason FROM history WHERE model = ? ORDER BY id", (model,)
    )
    for row in rows:
        turn = Turn(stage=row["stage"], time=row["time"], by=row["by"], reason=row["reason"])
        found.setdefault(int(row["version"]), []).append(turn)
    return found


def _stage_at(turns: Sequence[Turn], at: float) -> str:
    return next((turn.stage for turn in reversed(turns) if turn.time <= _time(at)), "")


def _time(at: float) -> str:
    """As the registry writes it, so that it sorts as times do."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
