"""A candidate in the shadow decides on copies: nobody waits for a person's answer to one."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from serinus.audit import Action
from serinus.cli import main
from serinus.shadows import Shadows
from tests.unit.review.office import Office

DIGEST, OTHER = "sha256:aa", "sha256:bb"


def turn(reason: str, at: float, weight: int = 0, rollout: str = "r1", digest: str = DIGEST) -> Action:
    details = {"rollout": rollout, "digest": digest, "at": at, "weight": weight}
    return _action(f"rollout-{reason}", at, details)


def _action(action: str, at: float, details: dict[str, Any]) -> Action:
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return Action(time=time, actor="engine", action=action, subject="small/2", reason="", details=details)


SHADOW_THEN_LIVE = [turn("Starting", 10), turn("StepStarted", 20), turn("StepStarted", 40, 5)]


@pytest.mark.parametrize(
    ("actions", "at", "copy"),
    [
        ([], 30, False),
        (SHADOW_THEN_LIVE, 9, False),
        (SHADOW_THEN_LIVE, 30, True),
        (SHADOW_THEN_LIVE, 39.9, True),
        (SHADOW_THEN_LIVE, 40, False),
        ([*SHADOW_THEN_LIVE, turn("RolledBack", 60)], 61, False),  # a last answer on its way
        ([turn("StepStarted", 20, digest=OTHER)], 30, False),
        ([turn("StepStarted", 20), turn("RolledBack", 30)], 35, True),  # the copies on their way
        ([turn("StepStarted", 20), turn("Aborted", 30), turn("StepStarted", 50, 5, "r2")], 55, False),
        ([turn("StepStarted", 20), _action("serve", 30, {"digest": DIGEST})], 35, False),
        ([turn("StepStarted", 20), turn("Promoted", 30)], 35, False),
        ([_action("rollout-StepStarted", 20, {"rollout": "r1", "weight": 0})], 30, False),
    ],
    ids=[
        "no rollout at all",
        "before it",
        "in the shadow",
        "to the last moment",
        "from the first live step",
        "after one that was live",
        "another bundle's",
        "rolled back out of the shadow",
        "live in a later rollout",
        "served by hand",
        "promoted",
        "a turn that names no bundle says nothing",
    ],
)
def test_what_was_decided_on_a_copy(actions: list[Action], at: float, copy: bool) -> None:
    assert Shadows.of(actions).holds(DIGEST, at) is copy


def followed(reason: str, at: float, weight: int = 0, uid: str = "u1", rollout: str = "ns/r1") -> Action:
    """A turn as a cluster's record keeper writes it, after it happened."""
    details = {"rollout": rollout, "uid": uid, "digest": DIGEST, "at": at, "weight": weight}
    return _action(f"rollout-{reason}", at, details)


SHADOW = [followed("Starting", 10), followed("StepStarted", 20)]


@pytest.mark.parametrize(
    ("actions", "at", "copy"),
    [
        ([followed("Starting", 10)], 15, False),
        (SHADOW, 20, True),
        (SHADOW, 30, None),
        ([*SHADOW, followed("ApprovalNeeded", 35)], 30, True),
        ([*SHADOW, followed("StepStarted", 40, 5)], 30, True),
        ([*SHADOW, followed("StepStarted", 40, 5)], 41, False),
        ([*SHADOW, followed("RolledBack", 40)], 70, True),
        ([*SHADOW, followed("RolledBack", 40)], 101, False),
        ([*SHADOW, _action("rollout-gap", 50, {"uid": "u1", "digest": DIGEST}), followed("Aborted", 60)], 30, False),
        ([*SHADOW, _action("rollout-deleted", 50, {"uid": "u1", "digest": DIGEST})], 30, False),
        ([followed("Promoted", 5, 100), followed("Failed", 30, uid="u2")], 40, False),
        ([followed("Promoted", 5, 100), followed("StepStarted", 30, uid="u2")], 40, False),
        ([followed("StepStarted", 5, 5), followed("RolledBack", 9), followed("StepStarted", 20, uid="u2")], 20, True),
    ],
    ids=[
        "not before a shadow step begins",
        "as far as it is told",
        "beyond that nobody knows yet",
        "a later turn tells",
        "closed by the first live step",
        "live from then on",
        "copies on their way after its end",
        "not for ever",
        "a gap may hide the live step",
        "so may a deletion",
        "a failed rollout of what answers already",
        "a shadow of what answers already",
        "a name that is used again is another rollout",
    ],
)  # fmt: skip
def test_on_a_cluster_a_turn_is_told_afterwards(actions: list[Action], at: float, copy: bool | None) -> None:
    assert Shadows.of(actions).holds(DIGEST, at) is copy


def test_what_is_not_known_yet_waits_and_is_not_lost(tmp_path: Path) -> None:
    office = Office(tmp_path)

    def told(at: str, weight: int) -> None:
        moment = datetime.fromisoformat(f"2026-09-21T{at}:00+00:00").timestamp()
        details = {
            "rollout": "ns/r",
            "uid": "u",
            "digest": office.bundle.digest,
            "at": moment,
            "weight": weight,
        }
        office.registry.audit.append(
            actor="k", action="rollout-StepStarted", subject="small/1", details=details
        )

    told("00:30", 0)
    for name in ("before", "copy", "live"):  # at 00:00, 01:00, 02:00
        office.decided(name)
    office.decided("elsewhere", log="z-other")  # 03:00, of the same bundle
    assert [case.id for case in office.desk.waiting()] == ["before"]
    told("01:30", 5)
    assert [case.id for case in office.desk.waiting()] == ["before", "live", "elsewhere"]


def roll(office: Office, at: str, weight: int, reason: str = "StepStarted") -> None:
    moment = datetime.fromisoformat(f"2026-09-21T{at}:00+00:00").timestamp()
    office.registry.audit.append(
        actor="engine",
        action=f"rollout-{reason}",
        subject="small/1",
        details={"rollout": "r1", "digest": office.bundle.digest, "at": moment, "weight": weight},
    )


def test_only_what_somebody_waits_for_enters_the_queue(tmp_path: Path) -> None:
    office = Office(tmp_path)
    roll(office, "00:30", 0)
    roll(office, "02:30", 5)
    for name in ("before", "copy", "another-copy", "live"):  # at 00:00, 01:00, 02:00, 03:00
        office.decided(name)
    assert [case.id for case in office.desk.waiting()] == ["before", "live"]
    assert office.desk.queue.sync() == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_with_the_id_of_its_original_leaves_one_case(tmp_path: Path, seed: int) -> None:
    """Whichever log is read first."""
    office = Office(tmp_path)
    roll(office, "00:30", 0)
    logs = ["a-shadow", "z-shadow"]
    random.Random(seed).shuffle(logs)
    office.decided("first")
    office.decided("same", 0.9, log=logs[0])  # 01:00: the candidate's copy
    roll(office, "01:30", 5)
    office.decided("same", 0.3, log="m-live")
    assert [(case.id, case.probability) for case in office.desk.waiting()] == [("first", 0.4), ("same", 0.3)]


def test_a_broken_audit_log_keeps_nobody_from_their_review(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.decided("a")
    log = office.home.audit / "audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b"cards", b"carts"))
    assert [case.id for case in office.desk.waiting()] == ["a"]
    assert main(["audit", "verify", "--home", str(office.home.root)]) == 1, "that is said elsewhere"
