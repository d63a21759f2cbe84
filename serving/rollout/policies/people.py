"""Policies of a rollout that waits for people."""

from __future__ import annotations

from msgspec.structs import replace

from serinus.access import Judgement, Word, judge
from serving.rollout.account import note, set_condition
from serving.rollout.moves import Context, doubt, enter, hold, move
from serving.rollout.status import Phase, RolloutStatus


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
        what = f"waiting for approval by {missing} before {step.weight} %{doubt(ctx)}"
        return hold(ctx, "ApprovalNeeded", what)
    counted = tuple(dict.fromkeys(word for judgement in found for word in judgement.counted))
    overridden = any(judgement.overridden for judgement in found)
    who = ", ".join(f"{word.by} ({word.role}{_lent(word)})" for word in counted)
    how = "overridden" if overridden else "approved"
    status = replace(status, approved_step=index)
    status = set_condition(status, "Approved", "True", how.capitalize(), f"by {who}{doubt(ctx)}", ctx.now)
    if overridden:
        by = next(word.by for word in counted if word.override)
        what = f"{by} overrode what is missing: {missing}"
        status = note(status, ctx.now, "ApprovalOverridden", what, by)
    return enter(ctx._replace(status=status), index, f"{how} by {who}{doubt(ctx)}")


def _lent(word: Word) -> str:
    return f", lent by {word.on_behalf_of}" if word.on_behalf_of else ""


def _next_approval(ctx: Context) -> int:
    for index in range(ctx.status.step + 1, len(ctx.spec.steps)):
        if ctx.spec.asks(index) and ctx.status.approved_step < index:
            return index
    return min(ctx.status.step + 1, len(ctx.spec.steps) - 1)
