"""Statuses and observations to decide on, and the moves of a candidate and of a step."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from serving.rollout.account import Observation
from serving.rollout.engine import new_status
from serving.rollout.ports import ApprovalRecord, Command, Health, Readback
from serving.rollout.spec import Approval, Step
from serving.rollout.status import Condition, Phase, RolloutStatus, Routes, Tally

from .world import small_spec

NOW = 1_000_000.0
READY = Health(state="ready", answering=True)
ABSENT = Health(state="absent")
STARTING = Health(state="starting")
CRASHED = Health(state="crashed", detail="was killed by signal 9 (SIGKILL)")
VERIFIED = Readback(state="verified")
NOT_YET = Readback(state="not_yet", detail="live routes: v1 100 %")
CANNOT_TELL = Readback(state="cannot_tell", detail="the admin port does not answer")
CHAMPION = Routes(stable="v1")
SPLIT = Routes(stable="v1", canary="v2", weight=10)
APPROVAL_STEPS = (Step(weight=10), Step(weight=100, approval=Approval(roles=("risk",))))


def status_in(phase: Phase, **changes: Any) -> RolloutStatus:
    status = new_status(small_spec(), name="r", champion="v1", candidate="v2", by="ann", now=NOW - 100)
    fields: dict[str, Any] = {
        "phase": phase,
        "phase_since": NOW - 60,
        "last_seen": NOW - 1,
        "last_data": NOW - 1,
        "message": "why",
    }
    if phase not in (Phase.PENDING, Phase.STARTING):
        fields |= {
            "step": 0,
            "desired": SPLIT,
            "verified": SPLIT,
            "verified_at": NOW - 50,
            "step_since": NOW - 60,
        }
    else:
        fields |= {"verified": CHAMPION, "verified_at": NOW - 50}
    return replace(status, **(fields | changes))


def seeing(**changes: Any) -> Observation:
    fields: dict[str, Any] = {"champion": READY, "candidate": READY, "routes": VERIFIED}
    return Observation(**(fields | changes))


def not_ready_since(at: float) -> tuple[Condition, ...]:
    condition = Condition(type="CandidateReady", status="False", reason="Starting", message="", since=at)
    return (condition,)


def no_data_since(at: float, reason: str = "NoData") -> dict[str, Any]:
    condition = Condition(type="DataAvailable", status="False", reason=reason, message="nothing", since=at)
    return {"last_data": at, "conditions": (condition,)}


SERVED = {"canary_tally": Tally(requests=60)}
COMMAND = Command(id="c1", kind="abort", by="bob", at=NOW)
RISK = ApprovalRecord(by="bob", role="risk", at=NOW - 10)

# name, spec, status, observation, phase and reason expected
Case = tuple[str, dict[str, Any], RolloutStatus, Observation, Phase, str]
STEPS: list[Case] = [
    (
        "a new rollout starts",
        {},
        status_in(Phase.PENDING),
        seeing(candidate=ABSENT),
        Phase.STARTING,
        "Starting",
    ),
    (
        "without a champion nothing begins",
        {},
        status_in(Phase.PENDING),
        seeing(champion=ABSENT, candidate=ABSENT),
        Phase.FAILED,
        "NoChampion",
    ),
    (
        "a starting candidate is waited for",
        {},
        status_in(Phase.STARTING, phase_since=NOW - 29, conditions=not_ready_since(NOW - 29)),
        seeing(candidate=STARTING),
        Phase.STARTING,
        "Starting",
    ),
    (
        "a candidate that is never ready is rolled back",
        {},
        status_in(Phase.STARTING, phase_since=NOW - 31, conditions=not_ready_since(NOW - 31)),
        seeing(candidate=STARTING),
        Phase.ROLLING_BACK,
        "CandidateNeverReady",
    ),
    (
        "a candidate that crashes at its start is rolled back",
        {},
        status_in(Phase.STARTING),
        seeing(candidate=CRASHED),
        Phase.ROLLING_BACK,
        "CandidateCrashed",
    ),
    (
        "a ready candidate gets its first step",
        {},
        status_in(Phase.STARTING),
        seeing(),
        Phase.PROGRESSING,
        "StepStarted",
    ),
    (
        "a first step may need an approval",
        {"steps": (Step(weight=5, approval=Approval()),)},
        status_in(Phase.STARTING),
        seeing(),
        Phase.AWAITING_APPROVAL,
        "ApprovalNeeded",
    ),
    (
        "a candidate that crashes in a step is rolled back",
        {},
        status_in(Phase.PROGRESSING),
        seeing(candidate=CRASHED),
        Phase.ROLLING_BACK,
        "CandidateCrashed",
    ),
    (
        "a candidate that was taken away is rolled back",
        {},
        status_in(Phase.PROGRESSING),
        seeing(candidate=ABSENT),
        Phase.ROLLING_BACK,
        "CandidateGone",
    ),
    (
        "a candidate unready for a moment is waited for",
        {},
        status_in(Phase.PROGRESSING, conditions=not_ready_since(NOW - 5)),
        seeing(candidate=STARTING),
        Phase.PROGRESSING,
        "CollectingRequests",
    ),
    (
        "a candidate unready for long is rolled back",
        {},
        status_in(Phase.PROGRESSING, conditions=not_ready_since(NOW - 31)),
        seeing(candidate=STARTING),
        Phase.ROLLING_BACK,
        "CandidateNeverReady",
    ),
    (
        "nothing moves while the champion is down",
        {},
        status_in(Phase.PROGRESSING, **SERVED),
        seeing(champion=CRASHED),
        Phase.PROGRESSING,
        "ChampionNotReady",
    ),
    (
        "a step does not count before its weight was read back",
        {},
        status_in(Phase.PROGRESSING, verified=None, verified_at=None, **SERVED),
        seeing(routes=NOT_YET),
        Phase.PROGRESSING,
        "RoutesNotVerified",
    ),
    (
        "routes that cannot be read back hold a step that was never verified",
        {},
        status_in(Phase.PROGRESSING, verified=None, verified_at=None, **SERVED),
        seeing(routes=CANNOT_TELL),
        Phase.PROGRESSING,
        "RoutesNotVerified",
    ),
    (
        "too few requests hold the step",
        {},
        status_in(Phase.PROGRESSING, canary_tally=Tally(requests=49)),
        seeing(),
        Phase.PROGRESSING,
        "CollectingRequests",
    ),
    (
        "too little time holds the step",
        {},
        status_in(Phase.PROGRESSING, verified_at=NOW - 4, **SERVED),
        seeing(),
        Phase.PROGRESSING,
        "CollectingTime",
    ),
    (
        "enough of both leads to the next step",
        {},
        status_in(Phase.PROGRESSING, **SERVED),
        seeing(),
        Phase.PROGRESSING,
        "StepStarted",
    ),
    (
        "a step that must be cleared is held without evidence",
        {},
        status_in(Phase.PROGRESSING, step=1, canary_tally=Tally(requests=1000)),
        seeing(),
        Phase.PROGRESSING,
        "NotCleared",
    ),
    (
        "the last step leads to promotion",
        {"steps": (Step(weight=10),)},
        status_in(Phase.PROGRESSING, **SERVED),
        seeing(),
        Phase.PROMOTING,
        "StepsCompleted",
    ),
    (
        "a step that needs approval is not begun without",
        {"steps": APPROVAL_STEPS},
        status_in(Phase.PROGRESSING, **SERVED),
        seeing(),
        Phase.AWAITING_APPROVAL,
        "ApprovalNeeded",
    ),
]
