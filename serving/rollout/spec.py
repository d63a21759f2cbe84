"""What a rollout is asked to do: the ``spec`` of a ModelRollout.

Durations are written as people write them (``90s``, ``15m``); counts are
requests answered by the candidate.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from serinus import metrics
from serinus.access import Requirement
from serinus.documents import UnreadableError, read_yaml
from serinus.durations import format_duration, parse_duration
from serinus.errors import SerinusError
from serinus.evidence import Guard, Plan

from .status import Phase

_CHANNEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
Percent = Annotated[int, Meta(ge=1, le=100)]
Policy = Literal["pause", "rollback", "promote"]
Probability = Annotated[float, Meta(gt=0, lt=1)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A misspelt key is an error, never a silently ignored default."""


class Approval(_Strict, frozen=True, kw_only=True):
    """Someone other than who started the rollout must agree before the step begins.

    ``roles`` lists the roles that must each have approved, each by another person;
    empty means any one person.
    """

    roles: tuple[str, ...] = ()

    def requirement(self) -> Requirement:
        """What must be said, as the rules judge it; at least one word."""
        return Requirement(roles=self.roles, people=max(1, len(self.roles)))


class Required(_Strict, frozen=True, kw_only=True):
    """What must have been said for the version itself: the access policy's approvals at its tier.

    Words count that were given before the rollout, while they hold (``expire``). ``before``:
    asked for before the last step (``promotion``), or before the first whose answers clients
    see (``canary``).
    """

    roles: tuple[str, ...] = ()
    people: Annotated[int, Meta(ge=1, le=10)] = 1
    expire: str | None = None
    before: Literal["promotion", "canary"] = "promotion"

    def requirement(self) -> Requirement:
        """What must be said, as the rules judge it. Raises ValueError for ``expire``."""
        return Requirement(
            roles=self.roles,
            people=max(self.people, len(self.roles)),
            expire=parse_duration(self.expire) if self.expire else None,
        )


class Step(_Strict, frozen=True, kw_only=True):
    """One share of traffic and what it takes to leave it for the next.

    ``analysis``: ``watch`` goes on as long as no guard shows harm; ``clear``
    goes on only when every enforcing guard shows that there is none. ``approval``
    is asked for before this step's weight is set. In a ``shadow`` step the weight is
    the share of requests that the candidate gets as well: clients see the champion's
    answers only. Shadow steps come before the others.
    """

    weight: Percent
    shadow: bool = False
    min_requests: Annotated[int, Meta(ge=0)] = 0
    min_seconds: Annotated[float, Meta(ge=0)] = 0.0
    analysis: Literal["watch", "clear"] = "watch"
    approval: Approval | None = None


class Notification(_Strict, frozen=True, kw_only=True):
    """Whom to tell of the rollout's turns, by an HTTP POST.

    Either ``url``, or ``channel``: the name of a file that holds the URL, for
    addresses that are secrets (Slack's are). ``format``: ``generic`` is the entry as
    JSON, ``slack`` a message that Slack and its kin understand. ``phases``: those to
    tell of; empty means all.
    """

    url: str | None = None
    channel: str | None = None
    format: Literal["generic", "slack"] = "generic"
    phases: tuple[str, ...] = ()


class Limits(_Strict, frozen=True, kw_only=True):
    """How long each state may last.

    ``max_duration`` counts the time in which traffic is being judged: waiting for
    people does not use it up.
    """

    max_duration: str = "1h"
    no_data_timeout: str = "5m"
    ready_timeout: str = "2m"


def default_guards() -> tuple[Guard, ...]:
    """Errors, latency, scores and decisions, each against the champion in the same minutes.

    The absolute margins are what an owner would not get up for: half a percent
    of answers for errors, five percent of requests slower or scored apart.
    """
    return (
        Guard(name="errors", metric="errors", side="higher", margin_absolute=0.005),
        Guard(
            name="latency",
            metric="latency",
            side="higher",
            margin_ratio=1.5,
            margin_absolute=0.05,
            edges=tuple(
                f"{edge * 1000:g} ms" for edge in metrics.LATENCY_EDGES if edge >= metrics.LATENCY_JUDGED_FROM
            ),
        ),
        Guard(
            name="scores",
            metric="scores",
            side="both",
            margin_ratio=1.5,
            margin_absolute=0.05,
            edges=tuple(
                f"a score of {edge:g}" for edge in metrics.SCORE_EDGES if edge >= metrics.SCORE_JUDGED_FROM
            ),
        ),
        Guard(name="decisions", metric="decisions", side="both", margin_ratio=1.5, margin_absolute=0.05),
    )


def default_steps() -> tuple[Step, ...]:
    """5, 25, 50 %, then everything after a second person agreed."""
    return (
        Step(weight=5, min_requests=100, min_seconds=30),
        Step(weight=25, min_requests=500, min_seconds=30),
        Step(weight=50, min_requests=1000, min_seconds=30, analysis="clear"),
        Step(weight=100, min_seconds=15, approval=Approval()),
    )


class RolloutSpec(_Strict, frozen=True, kw_only=True):
    """A rollout of one version of a model over another.

    ``champion`` and ``candidate`` are references that the platform resolves: a
    registered version number, or a bundle's path. ``alpha`` bounds the chance of
    rolling back a candidate that is no worse than the margins; ``beta`` is the
    confidence with which ``clear`` excludes harm. ``required`` is what the version's
    tier asks for; the platform adds it.
    """

    model: str
    candidate: str
    champion: str = "champion"
    steps: tuple[Step, ...] = msgspec.field(default_factory=default_steps)
    guards: tuple[Guard, ...] = msgspec.field(default_factory=default_guards)
    alpha: Probability = 0.01
    beta: Probability = 0.05
    limits: Limits = Limits()
    on_inconclusive: Policy = "pause"
    on_no_data: Literal["pause", "rollback"] = "pause"
    rollback_window: str = "0s"
    notifications: tuple[Notification, ...] = ()
    required: Required | None = None

    def required_at(self) -> int | None:
        """The step before which ``required`` is asked for."""
        if self.required is None:
            return None
        if self.required.before == "promotion":
            return len(self.steps) - 1
        return next(index for index, step in enumerate(self.steps) if not step.shadow)

    def asks(self, index: int) -> bool:
        """Whether people must have spoken before a step begins."""
        return self.steps[index].approval is not None or index == self.required_at()

    def plan(self) -> Plan:
        """The statistical plan that ``serinus.evidence`` judges by."""
        return Plan(guards=self.guards, alpha=self.alpha, beta=self.beta)


def check(spec: RolloutSpec, where: str = "rollout spec") -> RolloutSpec:
    """The rules that types cannot say.

    Raises:
        SerinusError: SRN-ROLLOUT-001 naming the field and the value.
    """

    def refuse(field: str, what: str, hint: str) -> SerinusError:
        return SerinusError("SRN-ROLLOUT-001", what, where=f"{where}, {field}", hint=hint)

    if not spec.steps:
        raise refuse("steps", "a rollout needs at least one step", "Add one: {weight: 5, min_requests: 100}.")
    shadows = [step.shadow for step in spec.steps]
    if shadows != sorted(shadows, reverse=True):
        raise refuse("steps", "a shadow step follows one with live traffic", "Put shadow steps first.")
    if all(shadows):
        raise refuse("steps", "every step is a shadow step", "Add one with live traffic: {weight: 5}.")
    for shadow in (True, False):
        weights = [step.weight for step in spec.steps if step.shadow is shadow]
        if weights != sorted(set(weights)):
            what = f"weights must rise from step to step, not {weights}"
            raise refuse("steps", what, "Write 5, 25, 50, 100.")
    if not any(guard.mode == "enforce" for guard in spec.guards):
        raise refuse("guards", "no guard is enforced, so nothing could stop a bad candidate", "Enforce one.")
    names = [guard.name for guard in spec.guards]
    if len(names) != len(set(names)):
        raise refuse("guards", f"guard names repeat: {names}", "Give each guard a name of its own.")
    for field, text in (
        *([("required.expire", spec.required.expire)] if spec.required and spec.required.expire else []),
        ("limits.max_duration", spec.limits.max_duration),
        ("limits.no_data_timeout", spec.limits.no_data_timeout),
        ("limits.ready_timeout", spec.limits.ready_timeout),
        ("rollback_window", spec.rollback_window),
    ):
        try:
            parse_duration(text)
        except ValueError as problem:
            raise refuse(field, str(problem), "A number and a unit: 90s, 15m, 1h.") from None
    for notification in spec.notifications:
        _check_notification(notification, refuse)
    if spec.champion == spec.candidate:
        both = f"candidate and champion are both {spec.champion!r}"
        raise refuse("candidate", both, "Name another version.")
    return spec


def strengthened(spec: RolloutSpec, asked: Requirement) -> RolloutSpec:
    """The spec, with what the access policy asks for at the version's tier. Neither takes from the other."""
    if not asked.asks:
        return spec
    own = spec.required or Required()
    expiries = [text for text in (own.expire, _written(asked.expire)) if text]
    required = Required(
        roles=tuple(dict.fromkeys((*asked.roles, *own.roles))),
        people=max(asked.people, own.people),
        expire=min(expiries, key=parse_duration, default=None),
        before="canary" if "canary" in (asked.before, own.before) else "promotion",
    )
    return replace(spec, required=required)


def _written(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    text = format_duration(seconds)
    return text if "e" not in text else f"{seconds:.3f}s"


def _check_notification(given: Notification, refuse: Callable[[str, str, str], SerinusError]) -> None:
    if (given.url is None) == (given.channel is None):
        raise refuse("notifications", "give either url or channel", "channel names a file with the URL.")
    if given.url is not None and not given.url.startswith(("http://", "https://")):
        raise refuse("notifications", f"{given.url!r} is not an HTTP URL", "Write https://….")
    if given.channel is not None and not _CHANNEL.fullmatch(given.channel):
        raise refuse(
            "notifications", f"{given.channel!r} is no channel's name", "Lower case, digits and dashes."
        )
    unknown = sorted(set(given.phases) - {phase.value for phase in Phase})
    if unknown:
        raise refuse("notifications", f"unknown phases {unknown}", f"Known: {', '.join(Phase)}.")


def load_spec(path: Path) -> RolloutSpec:
    """Read a spec from YAML or JSON.

    Raises:
        SerinusError: SRN-ROLLOUT-001 with the file and the field that is wrong.
    """
    try:
        return check(msgspec.convert(read_yaml(path), RolloutSpec), str(path))
    except (UnreadableError, msgspec.ValidationError) as problem:
        what, where = (
            (f"the spec {problem.what}", problem.where)
            if isinstance(problem, UnreadableError)
            else (str(problem), str(path))
        )
        raise SerinusError(
            "SRN-ROLLOUT-001", what, where=where, hint="See docs/rollout.md for the fields."
        ) from None
