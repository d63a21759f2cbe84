"""Decide what a rollout does next. Pure: no clock, no I/O.

Each phase has a chain of policies, read from top to bottom: the first that has
something to say moves the rollout or holds it, with its reason. The table of
chains near the end of this file is the specification.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from serinus.access import Judgement, Word, judge
from serinus.durations import parse_duration

from .account import Observation, account, note, set_condition
from .commands import obey
from .moves import Context, enter, hold, inconclusive, move, pause, roll_back
from .spec import RolloutSpec, Step
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


# --- policies: the candidate and the champion --------------------------------


def begin(ctx: Context) -> RolloutStatus:
    """Start the candidate, unless there is no champion to compare it with."""
    status = ctx.status
    if ctx.seen.champion.state == "absent":
        return move(
            ctx,
            Phase.FAILED,
            "NoChampion",
            f"champion {status.champion} is not running: nothing to compare with, nothing was moved",
            old_stopped=True,
        )
    message = f"starting {status.candidate} beside {status.champion}"
    return move(ctx, Phase.STARTING, "Starting", message, last_data=ctx.now)


def candidate_crashed(ctx: Context) -> RolloutStatus | None:
    """A crash is told by the process and needs no statistics."""
    health = ctx.seen.candidate
    if health.state == "crashed":
        return roll_back(ctx, "CandidateCrashed", f"{ctx.status.candidate} {health.detail or 'crashed'}")
    if health.state == "absent" and ctx.status.step >= 0:
        return roll_back(
            ctx, "CandidateGone", f"{ctx.status.candidate} is no longer there: its processes are gone"
        )
    return None


def candidate_never_ready(ctx: Context) -> RolloutStatus | None:
    """Unready for longer than ``ready_timeout``: at the start or in the middle."""
    limit = parse_duration(ctx.spec.limits.ready_timeout)
    condition = ctx.status.condition("CandidateReady")
    if ctx.seen.candidate.state == "ready" or condition is None:
        return None
    waited = ctx.now - max(condition.since, ctx.status.phase_since if ctx.status.step < 0 else 0.0)
    if waited <= limit:
        return None
    detail = f": {ctx.seen.candidate.detail}" if ctx.seen.candidate.detail else ""
    return roll_back(
        ctx, "CandidateNeverReady", f"{ctx.status.candidate} was not ready for {waited:.0f} s{detail}"
    )


def candidate_ready(ctx: Context) -> RolloutStatus:
    """Begin the first step once the candidate answers, and every proxy knows where."""
    condition = ctx.status.condition("CandidateReady")
    if ctx.seen.candidate.state == "ready" and condition is not None:
        if ctx.now - condition.since < ctx.seen.routes.settle:
            return hold(ctx, "Starting", f"{ctx.status.candidate} is ready; the proxies are being told of it")
        return enter(ctx, 0, f"{ctx.status.candidate} is ready")
    return hold(ctx, "Starting", ctx.seen.candidate.detail or f"waiting for {ctx.status.candidate}")


def harm(ctx: Context) -> RolloutStatus | None:
    """The evidence says harm: roll back, if there is someone to roll back to."""
    if not ctx.harm or ctx.verdict is None:
        return None
    verdict = ctx.verdict
    if not ctx.seen.champion.answering:
        # Sending everyone to a champion that is down would make it worse.
        return hold(ctx, "ChampionNotReady", f"{verdict.reason}; waiting for the champion to take over")
    return roll_back(ctx, "GuardHarm", verdict.reason, culprits=verdict.culprits)


def target_gone(ctx: Context) -> RolloutStatus | None:
    """What served was deleted: nothing is left to move, and that is no verdict about the candidate."""
    if ctx.seen.routes.state != "gone":
        return None
    message = f"{ctx.seen.routes.detail}: nothing is left to move"
    if ctx.status.phase is Phase.PROMOTED:
        return replace(note(ctx.status, ctx.now, "TargetGone", message), old_stopped=True)
    return move(ctx, Phase.FAILED, "TargetGone", message, old_stopped=True)


CONTESTED = 5  # times that another hand may change the routes


def contested(ctx: Context) -> RolloutStatus | None:
    """Someone keeps changing what we set, a GitOps tool perhaps: end it where both can agree, with the champion."""
    changes = sum(entry.reason == "RoutesChanged" for entry in ctx.status.history)
    if changes < CONTESTED or not ctx.seen.champion.answering:
        return None
    message = f"the live routes were changed by another hand {changes} times; let only one set them"
    return roll_back(ctx, "RoutesContested", message)


# --- policies: a step in progress ---------------------------------------------


def routing_broken(ctx: Context) -> RolloutStatus | None:
    """The counts contradict the weights: whatever the metrics say is about other traffic."""
    if ctx.verdict is not None and ctx.verdict.outcome == "routing_broken":
        return inconclusive(ctx, "RoutingBroken", ctx.verdict.reason, may_promote=False)
    return None


def champion_down(ctx: Context) -> RolloutStatus | None:
    """Without a champion nothing is compared and nothing moves."""
    if ctx.seen.champion.answering:
        return None
    return hold(ctx, "ChampionNotReady", ctx.seen.champion.detail or "the champion is not answering")


def candidate_down(ctx: Context) -> RolloutStatus | None:
    """A candidate that answers nobody at this moment is not sent more people."""
    if ctx.seen.candidate.answering:
        return None
    why = ctx.seen.candidate.detail or f"{ctx.status.candidate} is not answering"
    return hold(ctx, "CandidateNotReady", f"{why}; holding at {ctx.status.weight} %")


def routes_unverified(ctx: Context) -> RolloutStatus | None:
    """A step begins when its weight was read back, not when it was asked for."""
    if ctx.status.in_place:
        return None
    return hold(ctx, "RoutesNotVerified", ctx.seen.routes.detail or "waiting for the routes to take effect")


def no_data(ctx: Context) -> RolloutStatus | None:
    """No data, or a failing provider: hold, with a timeout of its own; never a pass, never a fail."""
    condition = ctx.status.condition("DataAvailable")
    if condition is None or condition.status != "False":
        return None
    quiet = ctx.now - ctx.status.last_data
    limit = parse_duration(ctx.spec.limits.no_data_timeout)
    if quiet <= limit:
        return hold(ctx, condition.reason, f"{condition.message}; holding at {ctx.status.weight} %")
    message = f"{condition.message} (limit {ctx.spec.limits.no_data_timeout})"
    if ctx.spec.on_no_data == "rollback":
        return roll_back(ctx, f"{condition.reason}Timeout", message)
    return pause(ctx, "no_data", f"{condition.reason}Timeout", message)


def out_of_time(ctx: Context) -> RolloutStatus | None:
    """Undecided for ``max_duration``: the spec says what then."""
    limit = parse_duration(ctx.spec.limits.max_duration)
    if ctx.status.active_seconds <= limit:
        return None
    if ctx.spec.on_inconclusive == "promote" and (down := candidate_down(ctx)):
        return down
    message = f"undecided after {ctx.spec.limits.max_duration}: {_evidence(ctx)}"
    return inconclusive(ctx, "Inconclusive", message)


def step_incomplete(ctx: Context) -> RolloutStatus | None:
    """What the step still lacks: requests, time, or clearance."""
    step = _step(ctx)
    served = ctx.status.canary_tally.requests - ctx.status.step_base
    elapsed = ctx.now - max(ctx.status.step_since, ctx.status.verified_at or ctx.now)
    if served < step.min_requests:
        message = f"{served:.0f} of {step.min_requests} requests at {step.weight} %"
        return hold(ctx, "CollectingRequests", message)
    if elapsed < step.min_seconds:
        return hold(ctx, "CollectingTime", f"{elapsed:.0f} of {step.min_seconds:.0f} s at {step.weight} %")
    if step.analysis == "clear" and not (ctx.verdict and ctx.verdict.outcome == "clear"):
        return hold(ctx, "NotCleared", _evidence(ctx))
    return None


def next_step(ctx: Context) -> RolloutStatus:
    """Nothing is left to wait for."""
    served = ctx.status.canary_tally.requests - ctx.status.step_base
    why = f"{served:.0f} requests at {_step(ctx).weight} %, {_evidence(ctx)}"
    return enter(ctx, ctx.status.step + 1, why)


def _step(ctx: Context) -> Step:
    return ctx.spec.steps[ctx.status.step]


def _evidence(ctx: Context) -> str:
    return ctx.verdict.reason.rstrip(".") if ctx.verdict else "no evidence yet"


# --- policies: waiting for people ---------------------------------------------


def data_returned(ctx: Context) -> RolloutStatus | None:
    """A pause for want of data ends by itself; one by a person does not."""
    if ctx.status.pause == ("no_data",) and ctx.status.last_data > ctx.status.phase_since:
        return move(ctx, Phase.PROGRESSING, "DataReturned", "canary requests are counted again", pause=())
    return None


def stay_paused(ctx: Context) -> RolloutStatus:
    """Wait for a person, and go on judging."""
    return ctx.status


def approved(ctx: Context) -> RolloutStatus:
    """Go on once the wanted words were given, by the rules that all approvals are judged by."""
    status = ctx.status
    index = _next_approval(ctx)
    step = ctx.spec.steps[index]
    words = [
        Word(by=a.by, role=a.role, at=a.at, on_behalf_of=a.on_behalf_of, override=a.override)
        for a in ctx.seen.approvals
    ]
    # Who started the rollout does not count, whatever the recorder allowed.
    own = (status.started_by,)
    found: list[Judgement] = []
    if step.approval is not None:
        asked_at = status.asked_at or status.phase_since
        found.append(judge(step.approval.requirement(), words, own=own, now=ctx.now, asked_at=asked_at))
    if ctx.spec.required is not None and index == ctx.spec.required_at():
        found.append(judge(ctx.spec.required.requirement(), words, own=own, now=ctx.now))
    missing = ", ".join(dict.fromkeys(role for judgement in found for role in judgement.missing))
    if not all(judgement.met for judgement in found):
        return hold(ctx, "ApprovalNeeded", f"waiting for approval by {missing} before {step.weight} %")
    counted = tuple(dict.fromkeys(word for judgement in found for word in judgement.counted))
    overridden = any(judgement.overridden for judgement in found)
    who = ", ".join(f"{word.by} ({word.role}{_lent(word)})" for word in counted)
    how = "overridden" if overridden else "approved"
    status = replace(status, approved_step=index)
    status = set_condition(status, "Approved", "True", how.capitalize(), f"by {who}", ctx.now)
    if overridden:
        by = next(word.by for word in counted if word.override)
        what = f"{by} overrode what is missing: {missing}"
        status = note(status, ctx.now, "ApprovalOverridden", what, by)
    return enter(ctx._replace(status=status), index, f"{how} by {who}")


def _lent(word: Word) -> str:
    return f", lent by {word.on_behalf_of}" if word.on_behalf_of else ""


def _next_approval(ctx: Context) -> int:
    for index in range(ctx.status.step + 1, len(ctx.spec.steps)):
        if ctx.spec.asks(index) and ctx.status.approved_step < index:
            return index
    return min(ctx.status.step + 1, len(ctx.spec.steps) - 1)


# --- policies: endings ----------------------------------------------------------


def rolled_back(ctx: Context) -> RolloutStatus:
    """A rollback has ended when the live routes were read back without the candidate."""
    status = ctx.status
    if not status.in_place:
        return hold(ctx, status.reason, status.message)
    ending = status.ending or Phase.ROLLED_BACK
    tally = status.canary_tally
    if status.step < 0:
        message = "the candidate never had a route; the champion has all traffic"
    else:
        took = (status.verified_at or ctx.now) - (status.decided_at or status.phase_since)
        message = (
            f"no request goes to the candidate any more, read back {took:.2f} s after the decision; "
            f"{tally.bad:.0f} of {tally.requests:.0f} canary requests were answered badly"
        )
    status = set_condition(status, "RolledBack", "True", status.reason, status.message, ctx.now)
    return move(ctx._replace(status=status), ending, ending.value, message)


def candidate_fails(ctx: Context) -> RolloutStatus | None:
    """A crash, a long silence or harm after the decision to promote: back, while the champion stands by."""
    if not ctx.seen.champion.answering:
        return None
    return candidate_crashed(ctx) or candidate_never_ready(ctx) or harm(ctx)


def promoted(ctx: Context) -> RolloutStatus:
    """A promotion has ended when the live routes were read back."""
    if not ctx.status.in_place:
        return hold(ctx, "Promoting", "waiting for the routes to take effect")
    message = f"{ctx.status.candidate} takes all traffic"
    status = set_condition(ctx.status, "Promoted", "True", "Promoted", message, ctx.now)
    return move(ctx._replace(status=status), Phase.PROMOTED, "Promoted", message)


def window_harm(ctx: Context) -> RolloutStatus | None:
    """For the rollback window, and while the candidate answers nobody, the former champion stands by."""
    status = None if _window_over(ctx) else candidate_fails(ctx)
    return status and set_condition(status, "Promoted", "False", status.reason, status.message, ctx.now)


def stay_promoted(ctx: Context) -> RolloutStatus:
    """Nothing moves; the former champion is stopped when the window is over."""
    return ctx.status


def _window_over(ctx: Context) -> bool:
    """Not while the candidate is down: the one who could take over is not stopped then."""
    over = ctx.now - ctx.status.phase_since >= parse_duration(ctx.spec.rollback_window)
    return over and ctx.seen.candidate.answering


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
    if phase is Phase.PROMOTED and _window_over(ctx):
        return ctx.status.champion
    return None
