"""What people may ask of a rollout: pause, resume, abort, promote. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from .account import LIVE, note
from .moves import Context, enter, move, pause, promote, roll_back
from .ports import Command
from .status import Phase, RolloutStatus

PAUSABLE = LIVE | {Phase.STARTING}
KEPT = 50  # ids remembered of commands that are listed no more; what is still listed is never forgotten


def obey(ctx: Context) -> RolloutStatus:
    """Obey the commands not yet handled, in order; a refused one is noted with its reason."""
    listed = {command.id for command in ctx.seen.commands}
    for command in ctx.seen.commands:
        if command.id in ctx.status.handled:
            continue
        refusal = refuse(ctx, command)
        if refusal:
            what = f"{command.kind} by {command.by} refused: {refusal}"
            status = note(ctx.status, ctx.now, "CommandRefused", what, command.by)
        else:
            why = f": {command.reason}" if command.reason else ""
            status = _act(ctx, command, f"{command.kind} by {command.by}{why}")
        gone = [known for known in status.handled if known not in listed]
        forgotten = set(gone[:-KEPT])
        handled = (*(known for known in status.handled if known not in forgotten), command.id)
        ctx = ctx._replace(status=replace(status, handled=handled))
    return ctx.status


def refuse(ctx: Context, command: Command) -> str | None:
    """Why a command cannot be obeyed now, or None."""
    phase = ctx.status.phase
    if ctx.status.ended or phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.ABORTED, Phase.FAILED):
        return f"the rollout is {phase.value}"
    if command.kind == "pause" and (phase not in PAUSABLE or "user" in ctx.status.pause):
        return f"the rollout is {phase.value}"
    if command.kind == "resume" and phase is not Phase.PAUSED:
        return f"the rollout is {phase.value}, not paused"
    if command.kind == "promote":
        if phase not in LIVE:
            return f"the rollout is {phase.value}"
        if phase is Phase.AWAITING_APPROVAL:
            return "an approval is still missing"
        if ctx.harm:
            return "the evidence says that the candidate does harm"
        if not ctx.seen.candidate.answering:
            return "the candidate is not answering"
    late = phase in (Phase.PROMOTING, Phase.PROMOTED)
    if command.kind == "abort" and late and not ctx.seen.champion.answering:
        return "the former champion is not answering"
    return None


def unasked(status: RolloutStatus) -> str | None:
    """Why an approval would come too early or too late to count, or None.

    One that was given before it was asked for could not have seen the evidence that it is
    about, so the engine never counts it: better said than taken and ignored.
    """
    if status.phase is Phase.AWAITING_APPROVAL:
        return None
    return (
        f"approve refused: the rollout is {status.phase.value}, and nobody is asked to approve at this moment"
    )


def _act(ctx: Context, command: Command, message: str) -> RolloutStatus:
    status = ctx.status
    if command.kind == "abort":
        return roll_back(ctx, "Aborted", message, Phase.ABORTED)
    if command.kind == "pause":
        return pause(ctx, "user", "PausedByUser", message)
    if command.kind == "resume":
        back = Phase.PROGRESSING if status.step >= 0 else Phase.STARTING
        fresh = 0.0 if "inconclusive" in status.pause else status.active_seconds
        return move(ctx, back, "Resumed", message, pause=(), active_seconds=fresh, last_data=ctx.now)
    for index in range(max(status.step, 0), len(ctx.spec.steps)):
        if index > status.step and ctx.spec.asks(index) and status.approved_step < index:
            return enter(ctx, index, message)  # promotion skips analysis, never an approval
    return promote(ctx, "PromotedByUser", message)
