"""Whether an alert starts a run. Pure: the ledger and the time in, a decision with its reason out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from serinus.alerts import Alert
from serinus.durations import format_duration

DAY = 86_400.0

Outcome = Literal["started", "duplicate", "cooling_down", "capped", "needs_person", "ignored"]


class Run(msgspec.Struct, kw_only=True):
    """One run of the pipeline. ``outcome`` is running, succeeded, failed or interrupted;
    ``result`` the JSON object in the last line of its output, if there was one."""

    id: str
    model: str
    cause: str
    key: str
    reason: str
    started: float
    finished: float | None = None
    outcome: Literal["running", "succeeded", "failed", "interrupted"] = "running"
    result: dict[str, object] | None = None
    error: str = ""


class Ledger(msgspec.Struct, kw_only=True):
    """All that must survive a restart. ``handled`` maps an alert's key to when it was dealt with,
    ``released`` a model to when a person last said that retraining may go on."""

    runs: list[Run] = []
    handled: dict[str, float] = {}
    released: dict[str, float] = {}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """``cooldown``: seconds between the end of a model's run and the start of its next;
    ``in_flight``: runs at a time, of all models; ``per_day``: runs of a model in 24 hours;
    ``repeat_within``: a cause that returns within these seconds of its run calls a person.
    ``models``: those that may be retrained, or empty for any."""

    cooldown: float = 3600.0
    in_flight: int = 1
    per_day: int = 4
    repeat_within: float = 7 * DAY
    models: tuple[str, ...] = ()


class Decision(msgspec.Struct, frozen=True):
    """What is done about an alert, and why."""

    outcome: Outcome
    reason: str


Rule = Callable[[Alert, Ledger, Limits, float], Decision | None]


def decide(alert: Alert, ledger: Ledger, limits: Limits, now: float) -> Decision:
    """The first rule that objects decides; without objection the run starts."""
    for rule in RULES:
        decision = rule(alert, ledger, limits, now)
        if decision is not None:
            return decision
    return Decision("started", alert.reason)


def _irrelevant(alert: Alert, ledger: Ledger, limits: Limits, now: float) -> Decision | None:
    if not alert.firing:
        return Decision("ignored", "the alert is resolved")
    if not alert.wants_retraining:
        return Decision("ignored", "the alert does not ask for retraining")
    if limits.models and alert.model not in limits.models:
        return Decision("ignored", f"{alert.model} is not among the models retrained here")
    return None


def _repeated(alert: Alert, ledger: Ledger, limits: Limits, now: float) -> Decision | None:
    if any(run.outcome == "running" and run.cause == alert.cause for run in ledger.runs):
        return Decision("duplicate", "a run for this cause is under way")
    handled = ledger.handled.get(alert.key)
    if handled is None:
        return None
    # The last of them: after a person's release one alert may have started several.
    run = next((run for run in reversed(ledger.runs) if run.key == alert.key), None)
    if run is not None and handled <= run.started and now >= (run.finished or now) + limits.cooldown:
        return None  # it still fires although its run has ended: that is a new matter, for the next rules
    return Decision("duplicate", "this alert has been dealt with")


def _same_cause(alert: Alert, ledger: Ledger, limits: Limits, now: float) -> Decision | None:
    last = _last(ledger, alert.model)
    if last is None or last.cause != alert.cause or last.outcome == "running":
        return None
    ended = last.finished or last.started
    if now - ended > limits.repeat_within or ledger.released.get(alert.model, 0.0) >= ended:
        return None
    return Decision("needs_person", f"run {last.id} was for the same cause and did not end it")


def _cooling_down(alert: Alert, ledger: Ledger, limits: Limits, now: float) -> Decision | None:
    last = _last(ledger, alert.model)
    if last is None or last.finished is None:
        return None
    left = last.finished + limits.cooldown - now
    return (
        Decision("cooling_down", f"{format_duration(round(left))} of the cooldown are left")
        if left > 0
        else None
    )


def _capped(alert: Alert, ledger: Ledger, limits: Limits, now: float) -> Decision | None:
    running = sum(run.outcome == "running" for run in ledger.runs)
    if running >= limits.in_flight:
        return Decision("capped", f"{running} runs are under way; {limits.in_flight} may be")
    today = sum(run.model == alert.model and now - run.started < DAY for run in ledger.runs)
    if today >= limits.per_day:
        return Decision("capped", f"{today} runs of {alert.model} in 24 hours; {limits.per_day} may be")
    return None


RULES: tuple[Rule, ...] = (_irrelevant, _repeated, _cooling_down, _same_cause, _capped)


def _last(ledger: Ledger, model: str) -> Run | None:
    return next((run for run in reversed(ledger.runs) if run.model == model), None)


def settles(decision: Decision) -> bool:
    """Whether the alert is dealt with for good.

    An alert held back by the cooldown or a cap is not: Alertmanager repeats it,
    and the repetition is judged anew.
    """
    return decision.outcome in ("started", "needs_person")


def pruned(ledger: Ledger, now: float, keep: float = 30 * DAY, runs: int = 200) -> Ledger:
    """The ledger without what no rule looks at any more; bounds its size."""
    return Ledger(
        runs=ledger.runs[-runs:],
        handled={key: at for key, at in ledger.handled.items() if now - at < keep},
        released=dict(ledger.released),
    )
