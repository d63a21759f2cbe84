"""Policies of a rollout that waits for people."""

from __future__ import annotations

from msgspec.structs import replace

from serinus.access import Word
from serving.rollout.account import note, set_condition
from serving.rollout.asking import asked
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
    answer = asked(ctx.spec, status, ctx.seen.approvals, ctx.now)
    index, missing = answer.index, ", ".join(answer.missing)
    if not answer.met:
        what = f"waiting for approval by {missing} before {ctx.spec.steps[index].weight} %{doubt(ctx)}"
        return replace(hold(ctx, "ApprovalNeeded", what), awaits=answer.awaited)
    counted = tuple(dict.fromkeys(word for judgement in answer.judgements for word in judgement.counted))
    overridden = any(judgement.overridden for judgement in answer.judgements)
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
