"""Decide what a rollout does next. Pure: no clock, no I/O.

Each phase has a chain of policies, read from top to bottom: the first that has
something to say moves the rollout or holds it, with its reason. The table of
chains is the specification.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from .account import Observation, account
from .commands import obey
from .moves import Context
from .policies.candidate import (
    begin,
    candidate_crashed,
    candidate_never_ready,
    candidate_ready,
    contested,
    harm,
    target_gone,
)
from .policies.ending import candidate_fails, promoted, rolled_back, stay_promoted, window_harm, window_over
from .policies.people import approved, data_returned, stay_paused
from .policies.step import (
    candidate_down,
    champion_down,
    next_step,
    no_data,
    out_of_time,
    routes_unverified,
    routing_broken,
    step_incomplete,
)
from .spec import RolloutSpec
from .status import Phase, RolloutStatus, Routes


class Start(msgspec.Struct, frozen=True, tag=True):
    """Start a predictor that is not there."""

    predictor: str


class Apply(msgspec.Struct, frozen=True, tag=True):
    """Make the live routes equal to these."""

    routes: Routes


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Stop a predictor that lost its traffic for good."""

    predictor: str


Action = Start | Apply | Stop


class Decided(NamedTuple):
    """The next status, and what must be done."""

    status: RolloutStatus
    actions: tuple[Action, ...]


Policy = Callable[[Context], RolloutStatus | None]


CANDIDATE: tuple[Policy, ...] = (candidate_crashed, candidate_never_ready, harm, contested)
POLICIES: dict[Phase, tuple[Policy, ...]] = {
    Phase.PENDING: (begin,),
    Phase.STARTING: (candidate_crashed, candidate_never_ready, candidate_ready),
    Phase.PROGRESSING: (
        *CANDIDATE,
        champion_down,
        routes_unverified,
        routing_broken,
        no_data,
        out_of_time,
        step_incomplete,
        candidate_down,
        next_step,
    ),
    Phase.PAUSED: (*CANDIDATE, data_returned, stay_paused),
    Phase.AWAITING_APPROVAL: (*CANDIDATE, champion_down, candidate_down, approved),
    Phase.PROMOTING: (candidate_fails, promoted),
    Phase.PROMOTED: (window_harm, stay_promoted),
    Phase.ROLLING_BACK: (rolled_back,),
    Phase.ROLLED_BACK: (),
    Phase.ABORTED: (),
    Phase.FAILED: (),
}


def decide(spec: RolloutSpec, status: RolloutStatus, seen: Observation, now: float) -> Decided:
    """One step of the rollout: the next status, and what must be done for the world to match it.

    The actions follow from the returned status and the observation alone, so
    an engine that was killed before acting is told the same again.
    """
    if status.ended:
        return Decided(status, ())
    status = account(spec, status, seen, now)
    ctx = Context(spec, obey(Context(spec, status, seen, now)), seen, now)
    for policy in (target_gone, *POLICIES[ctx.status.phase]):
        moved = policy(ctx)
        if moved is not None:
            ctx = ctx._replace(status=moved)
            break
    return _actions(ctx)


def _actions(ctx: Context) -> Decided:
    status, seen = ctx.status, ctx.seen
    actions: list[Action] = []
    starting = status.phase is Phase.STARTING or (status.phase is Phase.PAUSED and status.step < 0)
    if starting and seen.candidate.state == "absent":
        actions.append(Start(status.candidate))
    if not status.in_place and not status.ended:
        actions.append(Apply(status.desired))
    loser = _loser(ctx)
    if loser and status.in_place:
        if (seen.candidate if loser == status.candidate else seen.champion).state == "absent":
            status = replace(status, old_stopped=True)
        elif ctx.now - (status.verified_at or ctx.now) >= seen.routes.settle:
            actions.append(Stop(loser))
    return Decided(status, tuple(actions))


def _loser(ctx: Context) -> str | None:
    """Whom to stop: only after the routes were read back without it, and what reads them has settled."""
    phase = ctx.status.phase
    if phase in (Phase.ROLLED_BACK, Phase.ABORTED):
        return ctx.status.candidate
    if phase is Phase.PROMOTED and window_over(ctx):
        return ctx.status.champion
    return None
