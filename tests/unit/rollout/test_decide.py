"""Every move of a rollout: what fires it, and what must not."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from serving.rollout.account import Observation
from serving.rollout.decide import Apply, Start, Stop, decide
from serving.rollout.ports import Command
from serving.rollout.spec import RolloutSpec, Step
from serving.rollout.status import Phase, RolloutStatus, Routes

from .cases import (
    ABSENT,
    APPROVAL_STEPS,
    CANNOT_TELL,
    CHAMPION,
    COMMAND,
    CRASHED,
    NOT_YET,
    NOW,
    RISK,
    SERVED,
    SPLIT,
    STARTING,
    STEPS,
    Case,
    no_data_since,
    not_ready_since,
    seeing,
    status_in,
)
from .world import small_spec

PEOPLE: list[Case] = [
    (
        "no data for a while holds",
        {},
        status_in(Phase.PROGRESSING, **no_data_since(NOW - 59)),
        seeing(),
        Phase.PROGRESSING,
        "NoData",
    ),
    (
        "no data for too long pauses",
        {},
        status_in(Phase.PROGRESSING, **no_data_since(NOW - 61)),
        seeing(),
        Phase.PAUSED,
        "NoDataTimeout",
    ),
    (
        "no data for too long rolls back where the spec says so",
        {"on_no_data": "rollback"},
        status_in(Phase.PROGRESSING, **no_data_since(NOW - 61)),
        seeing(),
        Phase.ROLLING_BACK,
        "NoDataTimeout",
    ),
    (
        "a failing provider holds and is named",
        {},
        status_in(Phase.PROGRESSING, last_data=NOW - 30, **SERVED),
        seeing(failure="connection refused"),
        Phase.PROGRESSING,
        "ProviderError",
    ),
    (
        "a provider that fails for too long pauses under its own name",
        {},
        status_in(Phase.PROGRESSING, last_data=NOW - 61),
        seeing(failure="connection refused"),
        Phase.PAUSED,
        "ProviderErrorTimeout",
    ),
    (
        "undecided for too long pauses",
        {},
        status_in(Phase.PROGRESSING, active_seconds=1800),
        seeing(),
        Phase.PAUSED,
        "Inconclusive",
    ),
    (
        "undecided for too long rolls back where the spec says so",
        {"on_inconclusive": "rollback"},
        status_in(Phase.PROGRESSING, active_seconds=1800),
        seeing(),
        Phase.ROLLING_BACK,
        "Inconclusive",
    ),
    (
        "undecided for too long promotes where the spec says so",
        {"on_inconclusive": "promote"},
        status_in(Phase.PROGRESSING, active_seconds=1800),
        seeing(),
        Phase.PROMOTING,
        "Inconclusive",
    ),
    (
        "an inconclusive rollout is not promoted past an approval",
        {"on_inconclusive": "promote", "steps": APPROVAL_STEPS},
        status_in(Phase.PROGRESSING, active_seconds=1800),
        seeing(),
        Phase.AWAITING_APPROVAL,
        "ApprovalNeeded",
    ),
    (
        "a pause for want of data ends when data come",
        {},
        status_in(Phase.PAUSED, pause=("no_data",), last_data=NOW - 1, phase_since=NOW - 60),
        seeing(),
        Phase.PROGRESSING,
        "DataReturned",
    ),
    (
        "a pause by a person does not",
        {},
        status_in(Phase.PAUSED, pause=("no_data", "user"), reason="PausedByUser"),
        seeing(),
        Phase.PAUSED,
        "PausedByUser",
    ),
    (
        "a crash ends a paused rollout too",
        {},
        status_in(Phase.PAUSED, pause=("user",)),
        seeing(candidate=CRASHED),
        Phase.ROLLING_BACK,
        "CandidateCrashed",
    ),
    (
        "an approval by another person in the right role begins the step",
        {"steps": APPROVAL_STEPS},
        status_in(Phase.AWAITING_APPROVAL, asked_at=NOW - 20),
        seeing(approvals=(RISK,)),
        Phase.PROGRESSING,
        "StepStarted",
    ),
    (
        "the starter's own approval does not count",
        {"steps": APPROVAL_STEPS},
        status_in(Phase.AWAITING_APPROVAL, asked_at=NOW - 20),
        seeing(approvals=(replace(RISK, by="ann"),)),
        Phase.AWAITING_APPROVAL,
        "ApprovalNeeded",
    ),
    (
        "an approval in another role does not count",
        {"steps": APPROVAL_STEPS},
        status_in(Phase.AWAITING_APPROVAL, asked_at=NOW - 20),
        seeing(approvals=(replace(RISK, role="dev"),)),
        Phase.AWAITING_APPROVAL,
        "ApprovalNeeded",
    ),
    (
        "an approval given before it was asked for does not count",
        {"steps": APPROVAL_STEPS},
        status_in(Phase.AWAITING_APPROVAL, asked_at=NOW - 5),
        seeing(approvals=(RISK,)),
        Phase.AWAITING_APPROVAL,
        "ApprovalNeeded",
    ),
    (
        "an approved step waits for the champion",
        {"steps": APPROVAL_STEPS},
        status_in(Phase.AWAITING_APPROVAL, asked_at=NOW - 20),
        seeing(approvals=(RISK,), champion=CRASHED),
        Phase.AWAITING_APPROVAL,
        "ChampionNotReady",
    ),
    (
        "an approved step waits for the candidate",
        {"steps": APPROVAL_STEPS},
        status_in(Phase.AWAITING_APPROVAL, asked_at=NOW - 20),
        seeing(approvals=(RISK,), candidate=STARTING),
        Phase.AWAITING_APPROVAL,
        "CandidateNotReady",
    ),
    (
        "a finished step waits for the candidate",
        {"steps": (Step(weight=10), Step(weight=100))},
        status_in(Phase.PROGRESSING),
        seeing(candidate=STARTING),
        Phase.PROGRESSING,
        "CandidateNotReady",
    ),
    (
        "so does a last step with nothing left but the promotion",
        {"steps": (Step(weight=10),)},
        status_in(Phase.PROGRESSING),
        seeing(candidate=STARTING),
        Phase.PROGRESSING,
        "CandidateNotReady",
    ),
    (
        "nobody is promoted for want of time while it is down",
        {"on_inconclusive": "promote"},
        status_in(Phase.PROGRESSING, active_seconds=1800),
        seeing(candidate=STARTING),
        Phase.PROGRESSING,
        "CandidateNotReady",
    ),
    (
        "a promotion ends when it was read back",
        {},
        status_in(Phase.PROMOTING, desired=Routes(stable="v2"), verified=None),
        seeing(),
        Phase.PROMOTED,
        "Promoted",
    ),
    (
        "a promotion waits for its routes",
        {},
        status_in(Phase.PROMOTING, desired=Routes(stable="v2"), verified=None),
        seeing(routes=NOT_YET),
        Phase.PROMOTING,
        "Promoting",
    ),
    (
        "a promotion is not waited for when the candidate crashes",
        {},
        status_in(Phase.PROMOTING, desired=Routes(stable="v2"), verified=None),
        seeing(routes=NOT_YET, candidate=CRASHED),
        Phase.ROLLING_BACK,
        "CandidateCrashed",
    ),
    (
        "nor when it is taken out",
        {},
        status_in(Phase.PROMOTING, desired=Routes(stable="v2"), verified=None),
        seeing(routes=NOT_YET, candidate=ABSENT),
        Phase.ROLLING_BACK,
        "CandidateGone",
    ),
    (
        "nor when it is not ready for too long",
        {},
        status_in(
            Phase.PROMOTING, desired=Routes(stable="v2"), verified=None, conditions=not_ready_since(NOW - 31)
        ),
        seeing(routes=NOT_YET, candidate=STARTING),
        Phase.ROLLING_BACK,
        "CandidateNeverReady",
    ),
    (
        "it is waited for with nobody to go back to",
        {},
        status_in(Phase.PROMOTING, desired=Routes(stable="v2"), verified=None),
        seeing(routes=NOT_YET, candidate=CRASHED, champion=ABSENT),
        Phase.PROMOTING,
        "Promoting",
    ),
    (
        "a rollback ends when it was read back",
        {},
        status_in(Phase.ROLLING_BACK, desired=CHAMPION, verified=None, ending=Phase.ROLLED_BACK),
        seeing(),
        Phase.ROLLED_BACK,
        "RolledBack",
    ),
    (
        "a rollback is not over before",
        {},
        status_in(Phase.ROLLING_BACK, desired=CHAMPION, verified=None, reason="GuardHarm"),
        seeing(routes=NOT_YET),
        Phase.ROLLING_BACK,
        "GuardHarm",
    ),
    (
        "a rollback that cannot be read back is not over",
        {},
        status_in(Phase.ROLLING_BACK, desired=CHAMPION, verified=None, reason="GuardHarm"),
        seeing(routes=CANNOT_TELL),
        Phase.ROLLING_BACK,
        "GuardHarm",
    ),
    (
        "an aborted rollout ends as aborted",
        {},
        status_in(Phase.ROLLING_BACK, desired=CHAMPION, verified=None, ending=Phase.ABORTED),
        seeing(),
        Phase.ABORTED,
        "Aborted",
    ),
    (
        "a crash in the rollback window brings the champion back",
        {"rollback_window": "5m"},
        status_in(Phase.PROMOTED, desired=Routes(stable="v2"), verified=Routes(stable="v2")),
        seeing(candidate=CRASHED),
        Phase.ROLLING_BACK,
        "CandidateCrashed",
    ),
    (
        "so does a candidate that is not ready for too long in the window",
        {"rollback_window": "5m"},
        status_in(
            Phase.PROMOTED,
            desired=Routes(stable="v2"),
            verified=Routes(stable="v2"),
            conditions=not_ready_since(NOW - 31),
        ),
        seeing(candidate=STARTING),
        Phase.ROLLING_BACK,
        "CandidateNeverReady",
    ),
    (
        "but not a champion that is down itself",
        {"rollback_window": "5m"},
        status_in(
            Phase.PROMOTED, desired=Routes(stable="v2"), verified=Routes(stable="v2"), reason="Promoted"
        ),
        seeing(candidate=CRASHED, champion=CRASHED),
        Phase.PROMOTED,
        "Promoted",
    ),
    (
        "and after the window, as long as the former champion still stands by",
        {"rollback_window": "30s"},
        status_in(Phase.PROMOTED, desired=Routes(stable="v2"), verified=Routes(stable="v2")),
        seeing(candidate=CRASHED),
        Phase.ROLLING_BACK,
        "CandidateCrashed",
    ),
    (
        "and not without a former champion",
        {"rollback_window": "30s"},
        status_in(
            Phase.PROMOTED, desired=Routes(stable="v2"), verified=Routes(stable="v2"), reason="Promoted"
        ),
        seeing(champion=ABSENT, candidate=CRASHED),
        Phase.PROMOTED,
        "Promoted",
    ),
    (
        "abort rolls back",
        {},
        status_in(Phase.PROGRESSING),
        seeing(commands=(COMMAND,)),
        Phase.ROLLING_BACK,
        "Aborted",
    ),
    (
        "abort before anything was done ends it",
        {},
        status_in(Phase.PENDING),
        seeing(commands=(COMMAND,), candidate=ABSENT),
        Phase.ABORTED,
        "Aborted",
    ),
    (
        "pause pauses",
        {},
        status_in(Phase.PROGRESSING, **SERVED),
        seeing(commands=(replace(COMMAND, kind="pause"),)),
        Phase.PAUSED,
        "PausedByUser",
    ),
    (
        "promote skips the analysis",
        {},
        status_in(Phase.PROGRESSING),
        seeing(commands=(replace(COMMAND, kind="promote"),)),
        Phase.PROMOTING,
        "Promoting",
    ),
    (
        "promote does not skip an approval",
        {"steps": APPROVAL_STEPS},
        status_in(Phase.PROGRESSING),
        seeing(commands=(replace(COMMAND, kind="promote"),)),
        Phase.AWAITING_APPROVAL,
        "ApprovalNeeded",
    ),
    (
        "promote is refused while an approval is missing",
        {"steps": APPROVAL_STEPS},
        status_in(Phase.AWAITING_APPROVAL, asked_at=NOW - 5),
        seeing(commands=(replace(COMMAND, kind="promote"),)),
        Phase.AWAITING_APPROVAL,
        "ApprovalNeeded",
    ),
    (
        "a command is obeyed once",
        {},
        status_in(Phase.PROGRESSING, handled=("c1",)),
        seeing(commands=(COMMAND,)),
        Phase.PROGRESSING,
        "CollectingRequests",
    ),
    (
        "an ended rollout is left alone",
        {},
        status_in(Phase.ROLLED_BACK, old_stopped=True, reason="RolledBack"),
        seeing(commands=(COMMAND,), candidate=CRASHED),
        Phase.ROLLED_BACK,
        "RolledBack",
    ),
]
TABLE = [*STEPS, *PEOPLE]


@pytest.mark.parametrize(
    ("spec", "status", "seen", "phase", "reason"), [r[1:] for r in TABLE], ids=[r[0] for r in TABLE]
)
def test_each_move(
    spec: dict[str, Any], status: RolloutStatus, seen: Observation, phase: Phase, reason: str
) -> None:
    after = decide(small_spec(**spec), status, seen, NOW).status
    assert (after.phase, after.reason) == (phase, reason)
    assert after.ended or after.message


def test_every_phase_is_in_the_table() -> None:
    assert {row[4] for row in TABLE} == set(Phase) - {Phase.PENDING}  # nothing leads back there


def test_no_command_is_obeyed_twice_however_many_there_are() -> None:
    given = tuple(Command(id=f"c{n}", kind="promote", by="bob", at=NOW + n) for n in range(120))
    waiting = status_in(Phase.AWAITING_APPROVAL, asked_at=NOW)  # so each is refused, and that is told
    spec = small_spec(steps=APPROVAL_STEPS)
    first = decide(spec, waiting, seeing(commands=given), NOW).status
    again = decide(spec, first, seeing(commands=given), NOW).status
    assert again.seq == first.seq == 120


def acts(spec: RolloutSpec, status: RolloutStatus, seen: Observation) -> tuple[object, ...]:
    return decide(spec, status, seen, NOW).actions


def test_a_candidate_is_started_only_where_it_is_absent() -> None:
    assert acts(small_spec(), status_in(Phase.PENDING), seeing(candidate=ABSENT)) == (Start("v2"),)
    assert acts(small_spec(), status_in(Phase.STARTING), seeing(candidate=STARTING)) == ()


def test_routes_are_applied_until_they_are_read_back_and_not_after() -> None:
    pending = status_in(Phase.PROGRESSING, verified=None)
    assert acts(small_spec(), pending, seeing(routes=NOT_YET)) == (Apply(SPLIT),)
    assert acts(small_spec(), pending, seeing()) == ()


def test_routes_changed_by_another_hand_are_put_back_and_told() -> None:
    decided = decide(small_spec(), status_in(Phase.PROGRESSING), seeing(routes=NOT_YET), NOW)
    assert decided.actions == (Apply(SPLIT),)
    assert [e.reason for e in decided.status.history] == ["RoutesChanged"]


def test_verified_routes_stay_trusted_while_the_proxy_cannot_be_asked() -> None:
    decided = decide(small_spec(), status_in(Phase.PROGRESSING), seeing(routes=CANNOT_TELL), NOW)
    assert decided.actions == ()
    condition = decided.status.condition("RoutesVerified")
    assert condition is not None
    assert condition.status == "Unknown"


def test_the_loser_is_stopped_only_after_its_route_is_gone() -> None:
    going = status_in(Phase.ROLLING_BACK, desired=CHAMPION, verified=None, ending=Phase.ROLLED_BACK)
    assert acts(small_spec(), going, seeing(routes=NOT_YET)) == (Apply(CHAMPION),)
    assert acts(small_spec(), going, seeing()) == (Stop("v2"),)


def test_routes_that_come_back_after_the_end_spare_the_loser_until_they_are_gone_again() -> None:
    over = status_in(Phase.ROLLED_BACK, desired=CHAMPION, verified=CHAMPION)
    assert acts(small_spec(), over, seeing(routes=NOT_YET)) == (Apply(CHAMPION),)


def test_the_former_champion_stands_by_for_the_rollback_window() -> None:
    won = {"desired": Routes(stable="v2"), "verified": Routes(stable="v2")}
    assert acts(small_spec(rollback_window="5m"), status_in(Phase.PROMOTED, **won), seeing()) == ()
    assert acts(small_spec(rollback_window="30s"), status_in(Phase.PROMOTED, **won), seeing()) == (
        Stop("v1"),
    )


def test_a_refused_command_says_why_in_the_history() -> None:
    command = replace(COMMAND, kind="resume")
    status = decide(small_spec(), status_in(Phase.PROGRESSING), seeing(commands=(command,)), NOW).status
    assert status.history[-1].reason == "CommandRefused"
    assert "not paused" in status.history[-1].message


def test_waiting_for_people_does_not_use_up_the_time() -> None:
    waiting = decide(small_spec(), status_in(Phase.PAUSED, pause=("user",)), seeing(), NOW + 3600).status
    assert waiting.active_seconds == 0
    working = decide(small_spec(), status_in(Phase.PROGRESSING), seeing(), NOW + 60).status
    assert working.active_seconds == pytest.approx(61)
