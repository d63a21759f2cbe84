"""Fold one observation into the status: evidence, tallies, conditions. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from serinus import evidence
from serinus.evidence import Counter, Sample

from .ports import ApprovalRecord, Command, Health, Readback
from .spec import RolloutSpec
from .status import HISTORY, Condition, Entry, Phase, RolloutStatus, Tally

LIVE = frozenset({Phase.PROGRESSING, Phase.PAUSED, Phase.AWAITING_APPROVAL})
CHANGED = "the live routes were changed by another hand"
QUIET = 10.0  # seconds without a canary request before that is said, where counters are read that often
SCRAPED = 60.0  # seconds between a provider's own looks that are taken for granted until two were seen
JUDGED = LIVE | {Phase.PROMOTING, Phase.PROMOTED}
LEAVING = frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.ABORTED})


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What the ports said at one instant. ``routes`` compares with the status's desired routes."""

    champion: Health
    candidate: Health
    routes: Readback
    sample: Sample | None = None
    failure: str | None = None  # why the metrics could not be read
    approvals: tuple[ApprovalRecord, ...] = ()
    unsure: str = ""  # what of separation of duties cannot be judged
    commands: tuple[Command, ...] = ()


def note(
    status: RolloutStatus, now: float, reason: str, message: str, actor: str = "rollout engine"
) -> RolloutStatus:
    """Add one entry to the history and make it the status's reason."""
    seq = status.seq + 1
    entry = Entry(
        seq=seq,
        at=now,
        phase=status.phase.value,
        reason=reason,
        message=message,
        actor=actor,
        weight=status.weight,
    )
    history = (*status.history, entry)[-HISTORY:]
    return replace(status, seq=seq, history=history, reason=reason, message=message)


def set_condition(
    status: RolloutStatus,
    kind: str,
    value: Literal["True", "False", "Unknown"],
    reason: str,
    message: str,
    now: float,
) -> RolloutStatus:
    """Set a condition; ``since`` moves only when its status does."""
    old = status.condition(kind)
    since = old.since if old and old.status == value else now
    new = Condition(type=kind, status=value, reason=reason, message=message, since=since)
    if new == old:
        return status
    return replace(status, conditions=(*(c for c in status.conditions if c.type != kind), new))


def tally(old: Tally, arm: dict[str, dict[str, Counter]], *, first: bool) -> Tally:
    """Add the requests since the last sample; ``first`` only sets the baselines."""
    last = dict(old.last)
    requests, bad = old.requests, old.bad
    for source, counters in arm.items():
        counter = counters.get("errors")
        if counter is None or not counter.n >= 0 or not counter.bad[0] >= 0:  # a NaN is neither
            continue
        n0, bad0 = last.get(source, (counter.n, counter.bad[0]) if first else (0.0, 0.0))
        if counter.n < n0:  # the process began again
            n0, bad0 = 0.0, 0.0
        requests += counter.n - n0
        bad += max(0.0, counter.bad[0] - bad0)
        last[source] = (counter.n, counter.bad[0])
    return Tally(last=last, requests=requests, bad=bad)


def account(spec: RolloutSpec, status: RolloutStatus, seen: Observation, now: float) -> RolloutStatus:
    """The status with all that was seen, before anything is decided."""
    if status.phase in (Phase.STARTING, Phase.PROGRESSING) and status.last_seen:
        passed = max(0.0, now - status.last_seen)
        status = replace(status, active_seconds=status.active_seconds + passed)
    status = replace(status, last_seen=now)
    status = _routes(status, seen, now)
    status = _health(status, seen, now)
    if status.phase in JUDGED and not status.ended:
        status = _data(spec, status, seen, now)
    elif status.phase in LEAVING and seen.sample is not None:
        status = _count(status, seen.sample, first=status.evidence is None)
    return status


def _count(status: RolloutStatus, sample: Sample, *, first: bool) -> RolloutStatus:
    return replace(
        status,
        # The candidate began with this rollout: all that it ever answered belongs to it.
        canary_tally=tally(status.canary_tally, sample.canary, first=False),
        stable_tally=tally(status.stable_tally, sample.stable, first=first),
    )


def _routes(status: RolloutStatus, seen: Observation, now: float) -> RolloutStatus:
    state, detail = seen.routes.state, seen.routes.detail
    if state == "verified":
        if not status.in_place:
            status = replace(status, verified=status.desired, verified_at=now)
        return set_condition(status, "RoutesVerified", "True", "ReadBack", "live routes equal the plan", now)
    if state == "cannot_tell":
        return set_condition(status, "RoutesVerified", "Unknown", "CannotReadBack", detail, now)
    status = replace(_other_hand(status, seen, now), verified=None, verified_at=None)
    return set_condition(status, "RoutesVerified", "False", "NotYet", detail, now)


def _other_hand(status: RolloutStatus, seen: Observation, now: float) -> RolloutStatus:
    """Tell once what someone else changed: after we had verified it, or before, where the port knows who wrote."""
    if seen.routes.state == "gone":
        return status  # that is told by itself
    edit = seen.routes.edit
    new = bool(edit) and edit != status.last_edit
    if status.phase in JUDGED and (new or status.in_place):
        told = note(status, now, "RoutesChanged", f"{CHANGED}: {seen.routes.detail}")
    elif new and status.phase in (Phase.STARTING, Phase.ROLLING_BACK):
        told = note(status, now, "RoutesChanged", f"{CHANGED}: {seen.routes.detail}")
        # Why it is rolled back stays what it says of itself.
        told = replace(told, reason=status.reason, message=status.message)
    else:
        return status
    return replace(told, last_edit=edit or status.last_edit)


def _health(status: RolloutStatus, seen: Observation, now: float) -> RolloutStatus:
    for kind, health in (("ChampionReady", seen.champion), ("CandidateReady", seen.candidate)):
        reason = health.state.capitalize()
        value = "True" if health.state == "ready" else "False"
        status = set_condition(status, kind, value, reason, health.detail, now)
    return status


def _silence(status: RolloutStatus, read_at: float | None, now: float) -> str | None:
    """What says that nobody asks the canary, or that nobody counts; None while it is too early to tell.

    A provider that looks every 30 s cannot have seen a request of the last 10: what was read at
    ``read_at`` is silent about what came after it.
    """
    counted, quiet = now if read_at is None else read_at, now - status.last_data
    if counted - status.last_data > max(QUIET, 2 * status.cadence):
        return f"no canary request was counted for {quiet:.0f} s"
    if now - counted > QUIET + 2 * (status.cadence or SCRAPED):
        return f"the counters are {now - counted:.0f} s old"
    return None


def _data(spec: RolloutSpec, status: RolloutStatus, seen: Observation, now: float) -> RolloutStatus:
    plan = spec.plan()
    state = status.evidence or evidence.start(plan)
    before = status.canary_tally.requests
    if seen.sample is not None:
        share = None
        held = status.in_place and (status.verified_at or now) <= (state.last_at or 0.0)
        if status.desired.canary and held:
            # The weight held during the whole interval, so the counts must agree with it.
            share = status.desired.weight / 100
            if status.desired.shadow:  # copies come on top of what the champion answers
                share = share / (1 + share)
        sample = msgspec.structs.replace(seen.sample, canary_share=share)
        first = state.last_at is None
        if state.last_at is None or sample.at > state.last_at:
            status = _count(status, sample, first=first)
            status = replace(status, cadence=sample.at - state.last_at if state.last_at is not None else 0.0)
        state = evidence.update(plan, state, sample)
    verdict = evidence.judge(plan, state, failure=seen.failure)
    status = replace(status, evidence=state, verdict=verdict)
    if status.canary_tally.requests > before:
        status = replace(status, last_data=now)
        return set_condition(status, "DataAvailable", "True", "Receiving", "canary requests are counted", now)
    if seen.failure is not None:
        return set_condition(status, "DataAvailable", "False", "ProviderError", seen.failure, now)
    if message := _silence(status, state.last_at, now):
        return set_condition(status, "DataAvailable", "False", "NoData", message, now)
    old = status.condition("DataAvailable")
    if seen.sample is not None and old is not None and old.status == "False":
        # The provider answers again, or a new step began: wait for requests before saying more.
        return set_condition(
            status, "DataAvailable", "Unknown", "Waiting", "waiting for canary requests", now
        )
    return status
