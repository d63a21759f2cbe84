"""Each thing that happened becomes one record, whatever is told, however often and in whatever pieces."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.access import AccessPolicy, built_in
from serving.registrar.keeper import Keeper
from serving.registrar.memory import MemoryBook
from serving.registrar.records import Known, Record
from serving.registrar.words import WordKind
from serving.rollout.status import Phase

from ..access.policies import bank
from .cluster import (
    BACK,
    BEGAN,
    CANARY,
    NEW,
    OLD,
    PROMOTED,
    STARTING,
    Object,
    approval,
    command,
    rollout,
    stamp,
)

NEW_ONE = Known(model="fraud", version=2, built_by="ann")
OLD_ONE = Known(model="fraud", version=1, built_by="ann")
LONG = "The approver is in hospital and fraud runs at 40 k an hour; reviewed by phone."


def book() -> MemoryBook:
    return MemoryBook({NEW: NEW_ONE, OLD: OLD_ONE})


def actions(found: MemoryBook) -> list[str]:
    return [record.action for record in found.records]


def test_a_rollout_to_its_end() -> None:
    kept = book()
    Keeper(kept).listed([rollout(STARTING, CANARY, PROMOTED)])
    assert actions(kept) == [
        "rollout-Requested",
        "rollout-Starting",
        "rollout-StepStarted",
        "rollout-Promoted",
    ]
    assert {record.subject for record in kept.records} == {"fraud/2"}
    assert kept.stages == {"fraud/2": "champion", "fraud/1": "retired"}
    last = kept.records[-1]
    assert (last.actor, last.reason) == ("rollout engine", "Promoted of fraud-2")
    assert last.details == {
        "rollout": "cards/fraud-2",
        "uid": "u-1",
        "seq": 3,
        "digest": NEW,
        "at": BEGAN + 3,
        "phase": "Promoted",
        "weight": 0,
        "target": "fraud",
    }


def test_a_promotion_undone_brings_the_former_champion_back() -> None:
    kept = book()
    keeper = Keeper(kept)
    keeper.heard(rollout(CANARY, PROMOTED))
    keeper.heard(rollout(CANARY, PROMOTED, BACK))
    assert kept.stages == {"fraud/2": "rolled_back", "fraud/1": "champion"}


def test_a_digest_that_the_registry_does_not_know_is_recorded_and_not_invented() -> None:
    kept = MemoryBook()
    keeper = Keeper(kept)
    keeper.listed([rollout(CANARY, PROMOTED)])
    assert [record.subject for record in kept.records] == [NEW] * 3
    assert kept.records[-1].details["registry"] == "does not know this digest"
    assert kept.stages == {}
    assert keeper.counts["unknown"] == 1


def test_of_two_rollouts_the_later_promotion_stands_whatever_their_names() -> None:
    third = "sha256:" + "c" * 64
    kept = MemoryBook({OLD: OLD_ONE, NEW: NEW_ONE, third: Known(model="fraud", version=3)})
    later = rollout(CANARY, PROMOTED, uid="u-1", name="a", digest=third, champion=NEW, began=BEGAN + 50)
    earlier = rollout(CANARY, PROMOTED, uid="u-2", name="b", digest=NEW, champion=OLD)
    Keeper(kept).listed([later, earlier])
    assert kept.stages == {"fraud/3": "champion", "fraud/2": "retired", "fraud/1": "retired"}


# --- what is missing ----------------------------------------------------------------


def test_turns_that_the_status_keeps_no_more_are_said_to_be_missing() -> None:
    kept = book()
    keeper = Keeper(kept)
    keeper.heard(rollout(CANARY))
    keeper.heard(rollout(*[CANARY] * 30, engine=False))
    assert actions(kept)[:3] == ["rollout-Requested", "rollout-StepStarted", "rollout-gap"]
    assert kept.records[2].details["missing"] == [2, 10]
    assert [record.details["seq"] for record in kept.records[3:]] == list(range(11, 31))
    assert keeper.counts["gap"] == 1


@pytest.mark.parametrize(
    ("turns", "action", "gaps"),
    [((CANARY, PROMOTED), "rollout-deleted", 0), ((CANARY,), "rollout-gap", 1)],
)
def test_one_that_went_while_nobody_followed(
    turns: tuple[tuple[str, Phase], ...], action: str, gaps: int
) -> None:
    kept = book()
    Keeper(kept).listed([rollout(*turns)])
    before = len(kept.records)
    again = Keeper(kept)
    again.listed([], within=lambda namespace: namespace == "other")
    assert len(kept.records) == before
    for _ in range(2):
        again.listed([])
    assert actions(kept)[before:] == [action]
    assert again.counts["gap"] == gaps


def test_a_deletion_before_our_eyes_tells_the_last_turns_first_and_is_told_once() -> None:
    kept = book()
    keeper = Keeper(kept)
    keeper.heard(rollout(CANARY))
    keeper.heard(rollout(CANARY, BACK), deleted=True)
    keeper.heard(rollout(CANARY, BACK), deleted=True)
    keeper.listed([])
    assert actions(kept)[-2:] == ["rollout-RolledBack", "rollout-deleted"]
    assert actions(kept).count("rollout-deleted") == 1


# --- words --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "action", "why"),
    [
        (approval("bob"), "approve", "looked at the report"),
        (approval("bob", role="breakglass", reason=LONG), "override", LONG),
        (approval("ann"), "approval-refused", "ann cannot approve rollout fraud-2, having built it"),
        (
            approval("carl"),
            "approval-refused",
            "carl cannot approve rollout fraud-2, having started its rollout",
        ),
        (approval("bob", reason=" "), "approval-refused", "the approval of rollout fraud-2 gives no reason"),
        (
            approval("bob", role="breakglass", reason="urgent"),
            "approval-refused",
            "the justification has 6 characters, the policy asks for 40",
        ),
    ],
    ids=["counts", "override", "builder", "starter", "no-reason", "short"],
)
def test_a_word_is_recorded_once_with_who_and_why(word: Object, action: str, why: str) -> None:
    kept = book()
    keeper = Keeper(kept)
    keeper.listed([rollout(CANARY)])
    before = len(kept.records)
    for _ in range(2):
        keeper.said(word, "RolloutApproval")
    (made,) = kept.records[before:]
    assert (made.actor, made.action, made.subject, made.reason) == (
        word["spec"]["by"],
        action,
        "fraud/2",
        why,
    )
    assert bool(kept.approvals) is (action != "approval-refused")
    assert keeper.counts["refused"] == (action == "approval-refused")


def test_an_approval_by_whom_the_registry_has_as_the_builder_is_said_to_be_one() -> None:
    kept = book()
    keeper = Keeper(kept)
    keeper.listed([rollout(CANARY, built_by="")])
    keeper.said(approval("ann"), "RolloutApproval")
    assert kept.records[-1].details["registry"] == "ann built fraud/2, as the registry has it"
    assert kept.approvals == {}
    assert keeper.counts["unfollowed"] == 1


@pytest.mark.parametrize("known", [True, False], ids=["registered", "unregistered"])
@pytest.mark.parametrize(
    ("policy", "built_by", "action"),
    [
        (built_in(), "", "approve"),
        (built_in(), "ann", "approve"),
        (bank(), "", "approval-refused"),
        (bank(), "ann", "approve"),
    ],
)
def test_where_a_policy_is_in_force_no_word_counts_without_the_builders_name(
    policy: AccessPolicy, built_by: str, action: str, known: bool
) -> None:
    """As the controller has it, which does not ask the registry; that nobody knows is said in any case."""
    kept = MemoryBook({NEW: NEW_ONE} if known else {}, policy)
    keeper = Keeper(kept)
    keeper.listed([rollout(CANARY, built_by=built_by)])
    keeper.said(approval("bob"), "RolloutApproval")
    made = kept.records[-1]
    assert made.action == action
    assert ("who built it is not stated" in made.reason) is (action == "approval-refused")
    assert ("unsure" in made.details) is (action == "approve" and not built_by and not known)
    assert bool(kept.approvals) is (action == "approve" and known)


def test_a_command_is_recorded_with_who_and_why() -> None:
    kept = book()
    keeper = Keeper(kept)
    keeper.listed([rollout(CANARY)])
    keeper.said(command("abort"), "RolloutCommand")
    made = kept.records[-1]
    assert (made.actor, made.action, made.reason) == ("bob", "rollout-abort", "wrong extract")


# --- which rollout a word is about ------------------------------------------------------

FORMER = rollout(CANARY, BACK, uid="u-0", digest=OLD, champion=NEW, began=BEGAN - 100)
NOW = rollout(CANARY, uid="u-1")
EARLIER = "it was given before the ModelRollout fraud-2 was made: it was about an earlier one of that name"


def keeper_of(kept: MemoryBook, at: float = BEGAN + 10) -> Keeper:
    return Keeper(kept, clock=lambda: at)


@pytest.mark.parametrize("kind", ["RolloutApproval", "RolloutCommand"])
@pytest.mark.parametrize(
    ("case", "given", "subject", "refused"),
    [
        ("about the one that is there", {"at": BEGAN + 2}, "fraud/2", ""),
        ("in the second in which it was made", {"at": BEGAN}, "fraud/2", ""),
        ("about the former one", {"at": BEGAN - 90}, "fraud/1", ""),
        ("before the first of that name", {"at": BEGAN - 200}, "modelrollout/cards/fraud-2", EARLIER),
        ("its owner is the former one", {"at": BEGAN - 90, "belongs_to": "u-0"}, "fraud/1", ""),
        (
            "its owner is the former one, which is gone",
            {"at": BEGAN + 2, "belongs_to": "u-0"},
            "modelrollout/cards/fraud-2",
            "it was given after 2023-11-14T22:13:11+00:00, until when the ModelRollout fraud-2 was there as far as"
            " is known",
        ),
        (
            "its owner is unknown",
            {"belongs_to": "u-9"},
            "modelrollout/cards/fraud-2",
            "it belongs to another ModelRollout of the name fraud-2, of the uid u-9",
        ),
        ("of no such name", {"about": "fraud-3"}, "modelrollout/cards/fraud-3", "there was no such rollout"),
    ],
)
def test_a_word_is_about_the_rollout_that_the_controller_takes_it_for(
    kind: WordKind, case: str, given: dict[str, Any], subject: str, refused: str
) -> None:
    kept = book()
    keeper_of(kept, BEGAN - 10).heard(FORMER, deleted=True)
    keeper = keeper_of(kept)
    word = approval(**given) if kind == "RolloutApproval" else command(**given)
    keeper.said(word, kind, named=[NOW])
    made = kept.records[-1]
    assert made.subject == subject, case
    if refused:
        action = "approval-refused" if kind == "RolloutApproval" else "command-refused"
        assert (made.action, made.reason, made.details["digest"]) == (action, refused, "")
        assert kept.approvals == {}
    else:
        assert made.action == ("approve" if kind == "RolloutApproval" else "rollout-abort")


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(
    ("at", "action"), [(BEGAN + 5, "approve"), (BEGAN + 11, "approve"), (BEGAN + 12, "approval-refused")]
)
def test_a_word_heard_after_its_rollout_was_deleted_is_recorded_under_it(
    restarted: bool, at: float, action: str
) -> None:
    """Deleted before our eyes 10 s after its beginning; the API server stamps whole seconds."""
    kept = book()
    keeper = keeper_of(kept)
    keeper.heard(rollout(CANARY))
    keeper.heard(rollout(CANARY, BACK), deleted=True)
    if restarted:
        keeper = keeper_of(kept)
    keeper.said(approval(at=at), "RolloutApproval")
    keeper.said(approval("ann", uid="w-2", at=at), "RolloutApproval")
    assert actions(kept)[-2:] == [action, "approval-refused"]
    assert bool(kept.approvals) is (action == "approve")


def test_where_nobody_saw_it_go_a_word_counts_up_to_its_last_turn() -> None:
    """Later it may have been gone already: that is not known, so it is no approval."""
    kept = book()
    keeper = keeper_of(kept)
    keeper.heard(rollout(CANARY))
    keeper.listed([])
    keeper.said(approval(at=BEGAN + 1), "RolloutApproval")
    keeper.said(approval(uid="w-2", at=BEGAN + 2), "RolloutApproval")
    assert actions(kept)[-2:] == ["approve", "approval-refused"]


# --- numbers that begin anew --------------------------------------------------------------


def emptied(*turns: tuple[str, Phase], began: float) -> Object:
    """The same resource after its status was emptied, and the controller began again."""
    return rollout(*turns, began=began) | {"metadata": rollout()["metadata"]}


@pytest.mark.parametrize("engine", [True, False], ids=["whole", "shown"])
@pytest.mark.parametrize("turns", [(STARTING,), (STARTING, CANARY), (STARTING, CANARY, CANARY, BACK)])
def test_turns_after_a_status_was_emptied_are_recorded_behind_a_gap(
    turns: tuple[tuple[str, Phase], ...], engine: bool
) -> None:
    kept = book()
    keeper = keeper_of(kept)
    keeper.heard(rollout(CANARY, CANARY, CANARY, engine=engine))
    later = emptied(*turns, began=BEGAN + 60)
    for _ in range(2):
        keeper.heard(rollout())  # emptied: nothing is known yet
        keeper.heard(rollout(CANARY, CANARY))  # a stale one
        keeper.listed([later])
        keeper = keeper_of(kept)
    told = kept.records[4:]
    assert [record.action for record in told] == [
        "rollout-gap",
        *(f"rollout-{reason}" for reason, _ in turns),
    ]
    assert told[0].reason == (
        "this rollout's status was emptied after its turn 3, and its turns are numbered anew: what it had come to is "
        "not known"
    )
    assert [record.details["seq"] for record in told[1:]] == list(range(1, len(turns) + 1))


@pytest.mark.parametrize("dies", [0, 4, 5], ids=["alive", "before-the-gap", "after-the-gap"])
def test_emptied_and_failed_within_the_second_of_its_last_turn_it_is_seen_too(dies: int) -> None:
    """Only its one turn is left to see it by, and that has the number 1 and the same second."""
    kept = Dying(dies)
    keeper = keeper_of(kept)
    keeper.heard(rollout(STARTING, CANARY))
    failed = rollout()
    ended = {"type": "Ended", "status": "True", "lastTransitionTime": stamp(BEGAN + 2)}
    failed["status"] = {"phase": "Failed", "reason": "TargetUnfit", "message": "no", "conditions": [ended]}
    for told in (failed, rollout(STARTING, CANARY), failed):
        with contextlib.suppress(Killed):
            keeper.heard(told)
        keeper = keeper_of(kept)
    assert actions(kept)[3:] == ["rollout-gap", "rollout-TargetUnfit"]


def test_where_the_first_turns_are_not_kept_the_time_tells() -> None:
    kept = book()
    keeper = keeper_of(kept)
    keeper.heard(rollout(*[CANARY] * 30, engine=False))
    keeper.heard(rollout(*[CANARY] * 30))  # now all of them can be read: still the same
    assert actions(kept).count("rollout-gap") == 1
    keeper.heard(emptied(*[CANARY] * 25, began=BEGAN + 60))
    assert actions(kept).count("rollout-gap") == 2
    assert [r.details["seq"] for r in kept.records][-25:] == list(range(1, 26))


def test_emptied_again_it_is_said_again() -> None:
    kept = book()
    keeper = keeper_of(kept)
    keeper.heard(rollout(CANARY, CANARY))
    for began in (BEGAN + 60, BEGAN + 120):
        keeper.heard(emptied(CANARY, CANARY, began=began))
    assert actions(kept).count("rollout-gap") == 2
    assert keeper.counts["gap"] == 2
    assert actions(kept).count("rollout-StepStarted") == 6


@pytest.mark.parametrize("upto", range(4))
def test_a_status_told_late_or_in_whole_seconds_is_not_one_begun_anew(upto: int) -> None:
    kept = book()
    keeper = keeper_of(kept)
    keeper.heard(rollout(STARTING, CANARY, PROMOTED, engine=False, began=BEGAN + 0.7))
    keeper.heard(rollout(*(STARTING, CANARY, PROMOTED)[:upto], began=BEGAN + 0.7))
    assert "rollout-gap" not in actions(kept)


# --- a record of the registry that is none -------------------------------------------------


def test_a_damaged_record_is_told_once_with_each_thing_and_stops_nothing() -> None:
    damaged = Known(unreadable="SRN-REGISTRY-011 the record of fraud/2 cannot be read")
    kept = MemoryBook({NEW: damaged, OLD: OLD_ONE})
    keeper = keeper_of(kept)
    keeper.listed([rollout(CANARY)])
    keeper.said(approval(), "RolloutApproval")
    assert [(r.action, r.subject, r.details["registry"]) for r in kept.records] == [
        (action, NEW, damaged.unreadable)
        for action in ("rollout-Requested", "rollout-StepStarted", "approve")
    ]
    assert kept.approvals == {}
    assert (keeper.counts["unfollowed"], keeper.counts["unknown"]) == (3, 0)


# --- the law --------------------------------------------------------------------------

STORY = (STARTING, CANARY, CANARY, PROMOTED, BACK)
Step = tuple[str, int]
steps = st.lists(
    st.tuples(st.sampled_from(["list", "hear", "approve", "command", "restart"]), st.integers(0, len(STORY))),
    max_size=30,
)


@given(steps, st.integers(0, 12))
def test_however_it_is_told_each_thing_is_recorded_once_and_ends_the_same(
    told: list[Step], dies: int
) -> None:
    """Replays, stale listings, restarts, and a death before the n-th write of the whole."""
    kept = Dying(dies)
    keeper = Keeper(kept)
    end = [("list", len(STORY)), ("approve", 0), ("command", 0)]
    for step in [*told, *end, *end]:
        try:
            keeper = tell(keeper, kept, *step)
        except Killed:
            keeper = Keeper(kept)  # nothing is remembered but what was written
    turns = [record for record in kept.records if "seq" in record.details]
    assert [record.details["seq"] for record in turns] == list(range(len(STORY) + 1))
    words = [record.details["word"] for record in kept.records if "word" in record.details]
    assert sorted(words) == ["c-1", "w-1"]
    assert kept.stages == {"fraud/2": "rolled_back", "fraud/1": "champion"}


def tell(keeper: Keeper, kept: MemoryBook, what: str, upto: int) -> Keeper:
    if what == "list":
        keeper.listed([rollout(*STORY[:upto])])
    elif what == "hear":
        keeper.heard(rollout(*STORY[:upto]))
    elif what == "approve":
        keeper.said(approval(), "RolloutApproval", named=[rollout(*STORY[:upto])])
    elif what == "command":
        keeper.said(command(), "RolloutCommand", named=[rollout(*STORY[:upto])])
    else:
        return Keeper(kept)
    return keeper


class Killed(BaseException):
    """The process ended between two writes."""


class Dying(MemoryBook):
    """A book whose process is killed before its n-th entry, once: the stages have moved by then."""

    def __init__(self, before: int) -> None:
        super().__init__({NEW: NEW_ONE, OLD: OLD_ONE})
        self._before = before

    def write(self, record: Record) -> None:
        self._before -= 1
        if self._before == 0:
            raise Killed
        super().write(record)
