"""The moves a rollout can make, each with its reason. Policies and commands choose among them. Pure."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from serinus.evidence import Verdict

from .account import Observation, note, set_condition
from .asking import asked
from .spec import RolloutSpec
from .status import Phase, RolloutStatus, Routes


class Context(NamedTuple):
    """What a policy may look at."""

    spec: RolloutSpec
    status: RolloutStatus
    seen: Observation
    now: float

    @property
    def verdict(self) -> Verdict | None:
        """The latest verdict of the evidence."""
        return self.status.verdict

    @property
    def harm(self) -> bool:
        """Does the evidence say that the candidate does harm?"""
        return self.verdict is not None and self.verdict.outcome == "harm"


def move(ctx: Context, phase: Phase, reason: str, message: str, **changes: object) -> RolloutStatus:
    """Enter a phase, saying why."""
    fields: dict[str, object] = {"phase": phase, "phase_since": ctx.now, "awaits": ()}
    status = replace(ctx.status, **(fields | changes))
    return note(status, ctx.now, reason, message)


def hold(ctx: Context, reason: str, message: str) -> RolloutStatus:
    """Stay, saying why. No history entry: this is said on every look."""
    return replace(ctx.status, reason=reason, message=message)


def route(ctx: Context, routes: Routes) -> dict[str, object]:
    """The changes that make ``routes`` the desired ones, to be verified anew."""
    if routes == ctx.status.desired:
        return {}
    return {"desired": routes, "verified": None, "verified_at": None, "decided_at": ctx.now}


def roll_back(
    ctx: Context, reason: str, message: str, ending: Phase = Phase.ROLLED_BACK, culprits: tuple[str, ...] = ()
) -> RolloutStatus:
    """Remove the candidate from the routes; the champion takes everything."""
    changes = route(ctx, Routes(stable=ctx.status.champion))
    changes |= {"ending": ending, "culprits": culprits, "pause": ()}
    return move(ctx, Phase.ROLLING_BACK, reason, message, **changes)


def promote(ctx: Context, reason: str, message: str) -> RolloutStatus:
    """Make the candidate the only route."""
    changes = route(ctx, Routes(stable=ctx.status.candidate))
    return move(ctx, Phase.PROMOTING, reason, message, pause=(), **changes)


def enter(ctx: Context, index: int, why: str) -> RolloutStatus:
    """Begin a step, or ask for the approval that it needs first, or promote after the last."""
    status, steps = ctx.status, ctx.spec.steps
    if index >= len(steps):
        return promote(ctx, "StepsCompleted", why)
    step = steps[index]
    if ctx.spec.asks(index) and status.approved_step < index:
        who = _whom(ctx.spec, index)
        message = f"{why}; approval by {who} is needed before {step.weight} %{doubt(ctx)}"
        status = move(ctx, Phase.AWAITING_APPROVAL, "ApprovalNeeded", message, pause=(), asked_at=ctx.now)
        # Words are read while they are waited for: until the next look all that is asked for is missing.
        return replace(status, awaits=asked(ctx.spec, status, (), ctx.now).awaited)
    desired = Routes(stable=status.champion, canary=status.candidate, weight=step.weight, shadow=step.shadow)
    share = f"a copy of {step.weight} % of" if step.shadow else f"{step.weight} % of"
    return move(
        ctx,
        Phase.PROGRESSING,
        "StepStarted",
        f"{why}; step {index + 1} of {len(steps)}: {share} the traffic",
        step=index,
        step_since=ctx.now,
        step_base=status.canary_tally.requests,
        last_data=ctx.now,
        asked_at=None,
        pause=(),
        **route(ctx, desired),
    )


def doubt(ctx: Context) -> str:
    """What nobody stated and approvals therefore cannot be held to, to follow what is said of them."""
    return f"; {ctx.seen.unsure}" if ctx.seen.unsure else ""


def _whom(spec: RolloutSpec, index: int) -> str:
    step = spec.steps[index]
    roles = list(step.approval.roles) if step.approval is not None else []
    people = 0
    if spec.required is not None and index == spec.required_at():
        roles += [role for role in spec.required.roles if role not in roles]
        people = spec.required.people
    others = max(people, 1) - len(roles)
    if others > 0:
        someone = "someone" if others == 1 else f"{others} people"
        roles.append(f"{someone} other than who started it")
    return " and ".join(roles)


def pause(ctx: Context, why: str, reason: str, message: str) -> RolloutStatus:
    """Stop advancing; traffic and judgement stay."""
    return move(ctx, Phase.PAUSED, reason, message, pause=(*ctx.status.pause, why))


def inconclusive(ctx: Context, reason: str, message: str, *, may_promote: bool = True) -> RolloutStatus:
    """The spec's policy for a rollout that cannot be judged."""
    status = set_condition(ctx.status, "Inconclusive", "True", reason, message, ctx.now)
    ctx = ctx._replace(status=status)
    policy = ctx.spec.on_inconclusive
    if policy == "rollback":
        return roll_back(ctx, reason, message)
    if policy == "promote" and may_promote:
        for index in range(status.step + 1, len(ctx.spec.steps)):
            if ctx.spec.asks(index) and status.approved_step < index:
                return enter(ctx, index, message)
        return promote(ctx, reason, message)
    return pause(ctx, "inconclusive", reason, message)
