"""Policies about the candidate and the champion: there, ready, harmful, in whose hands."""

from __future__ import annotations

from msgspec.structs import replace

from serinus.durations import parse_duration
from serving.rollout.account import note
from serving.rollout.moves import Context, enter, hold, move, roll_back
from serving.rollout.status import Phase, RolloutStatus


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
