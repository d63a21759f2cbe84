"""Policies of a rollout that ends."""

from __future__ import annotations

from serinus.durations import parse_duration
from serving.rollout.account import set_condition
from serving.rollout.moves import Context, hold, move
from serving.rollout.policies.candidate import candidate_crashed, candidate_never_ready, harm
from serving.rollout.status import Phase, RolloutStatus


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
    status = None if window_over(ctx) else candidate_fails(ctx)
    return status and set_condition(status, "Promoted", "False", status.reason, status.message, ctx.now)


def stay_promoted(ctx: Context) -> RolloutStatus:
    """Nothing moves; the former champion is stopped when the window is over."""
    return ctx.status


def window_over(ctx: Context) -> bool:
    """Not while the candidate is down: the one who could take over is not stopped then."""
    over = ctx.now - ctx.status.phase_since >= parse_duration(ctx.spec.rollback_window)
    return over and ctx.seen.candidate.answering
