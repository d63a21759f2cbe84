"""Policies of a step in progress: what holds it, and what ends it."""

from __future__ import annotations

from serinus.durations import parse_duration
from serving.rollout.moves import Context, enter, hold, inconclusive, pause, roll_back
from serving.rollout.spec import Step
from serving.rollout.status import RolloutStatus


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
