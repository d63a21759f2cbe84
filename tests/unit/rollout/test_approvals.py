"""Whose word moves a rollout on: the step's wishes, the tier's, and an override that is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from serinus.access import Requirement, requirement
from serinus.errors import SerinusError
from serving.rollout.decide import decide
from serving.rollout.moves import Context, enter
from serving.rollout.ports import ApprovalRecord, Command
from serving.rollout.spec import Approval, Required, Step, check, strengthened
from serving.rollout.status import Phase, RolloutStatus

from ..access.policies import DAY, bank
from .cases import NOW, SERVED, seeing, status_in
from .world import small_spec

ROLES = Approval(roles=("validator", "approver"))
TIER_1 = Required(roles=("validator", "approver"), people=2)


def said(by: str, role: str, **more: Any) -> ApprovalRecord:
    return ApprovalRecord(by=by, role=role, at=NOW - 10, **more)


def judged(
    approval: Approval | None, *words: ApprovalRecord, required: Required | None = None
) -> RolloutStatus:
    spec = small_spec(steps=(Step(weight=10), Step(weight=100, approval=approval)), required=required)
    status = status_in(Phase.AWAITING_APPROVAL, asked_at=NOW - 20)
    return decide(spec, status, seeing(approvals=words), NOW).status


VERA, OSCAR = said("vera", "validator"), said("oscar", "approver")
EARLY = tuple(replace(word, at=NOW - 500) for word in (VERA, OSCAR))


@pytest.mark.parametrize(
    ("asks", "words", "moves", "says"),
    [
        ((ROLES, None), (VERA, OSCAR), True, "approved by vera (validator), oscar (approver)"),
        ((ROLES, None), (VERA,), False, "waiting for approval by approver"),
        ((ROLES, None), (said("dora", "validator"), said("dora", "approver")), False, "approval by approver"),
        ((ROLES, None), (VERA, said("zoe", "approver", on_behalf_of="vera")), False, "approval by approver"),
        (
            (ROLES, None),
            (VERA, said("zoe", "approver", on_behalf_of="ann")),
            False,
            "approver",
        ),  # she started it
        (
            (ROLES, None),
            (VERA, said("zoe", "approver", on_behalf_of="oscar")),
            True,
            "approver, lent by oscar",
        ),
        ((ROLES, None), (said("pat", "breakglass", override=True),), True, "overridden by pat"),
        ((ROLES, None), (said("ann", "breakglass", override=True),), False, "validator, approver"),
        ((ROLES, None), EARLY, False, "validator, approver"),  # given before the step asked
        (
            (None, TIER_1),
            EARLY,
            True,
            "approved by vera (validator), oscar (approver)",
        ),  # given for the version
        ((None, TIER_1), (VERA,), False, "waiting for approval by approver"),
        ((None, replace(TIER_1, expire="300s")), EARLY, False, "validator, approver"),
        ((Approval(), TIER_1), EARLY, False, "another person"),  # the step's own question is a new one
        ((Approval(), TIER_1), (*EARLY, said("eve", "operator")), True, "eve (operator), vera (validator)"),
        ((Approval(), TIER_1), (VERA, OSCAR), True, "approved by"),
        ((Approval(), TIER_1), (said("pat", "breakglass", override=True),), True, "overridden by pat"),
        ((None, Required(people=2)), (VERA,), False, "another person"),
        ((None, Required(people=2)), (VERA, OSCAR), True, "approved by"),
    ],
)
def test_whose_words_move_it(
    asks: tuple[Approval | None, Required | None], words: tuple[ApprovalRecord, ...], moves: bool, says: str
) -> None:
    status = judged(asks[0], *words, required=asks[1])
    assert status.phase is (Phase.PROGRESSING if moves else Phase.AWAITING_APPROVAL)
    assert says in (status.history[-1].message if moves else status.message)


@pytest.mark.parametrize(
    ("asks", "words", "awaits"),
    [
        ((ROLES, None), (), ("validator", "approver")),
        ((ROLES, None), (VERA,), ("approver",)),
        ((ROLES, None), EARLY, ("validator", "approver")),
        ((None, TIER_1), (VERA,), ("approver",)),
        ((Approval(), TIER_1), EARLY, ("another person",)),
        ((ROLES, None), (VERA, OSCAR), ()),
        ((ROLES, None), (said("pat", "breakglass", override=True),), ()),
    ],
)
def test_the_status_says_whose_words_are_missing(
    asks: tuple[Approval | None, Required | None],
    words: tuple[ApprovalRecord, ...],
    awaits: tuple[str, ...],
) -> None:
    assert judged(asks[0], *words, required=asks[1]).awaits == awaits


def test_it_says_so_from_the_moment_that_it_asks_and_no_longer_than_it_waits() -> None:
    spec = small_spec(steps=(Step(weight=10), Step(weight=100, approval=ROLES)))
    asking = decide(spec, status_in(Phase.PROGRESSING, **SERVED), seeing(), NOW).status
    assert (asking.phase, asking.awaits) == (Phase.AWAITING_APPROVAL, ("validator", "approver"))
    stopped = Command(id="c", kind="abort", by="pat", at=NOW)
    ending = decide(spec, asking, seeing(commands=(stopped,)), NOW).status
    assert (ending.phase, ending.awaits) == (Phase.ROLLING_BACK, ())


def test_an_override_is_told_with_what_was_missing() -> None:
    told = judged(ROLES, said("pat", "breakglass", override=True)).history[-2]
    assert (told.reason, told.actor) == ("ApprovalOverridden", "pat")
    assert "validator, approver" in told.message
    assert "ApprovalOverridden" not in [e.reason for e in judged(ROLES, VERA, OSCAR).history]


UNSURE = "nobody said who built it"


@pytest.mark.parametrize("words", [(), (VERA,), (VERA, OSCAR)])
def test_what_nobody_stated_is_said_with_all_that_is_said_of_approvals(
    words: tuple[ApprovalRecord, ...],
) -> None:
    """While it waits, when it goes on, and in the condition that stays."""
    spec = small_spec(steps=(Step(weight=10), Step(weight=100, approval=ROLES)))
    status = status_in(Phase.AWAITING_APPROVAL, asked_at=NOW - 20)
    for unsure in (UNSURE, ""):
        found = decide(spec, status, seeing(approvals=words, unsure=unsure), NOW).status
        conditions = [c.message for c in found.conditions if c.type == "Approved"]
        assert len(conditions) == (len(words) == 2)
        for message in (found.message, *conditions):
            assert (f"; {UNSURE}" in message) is bool(unsure)


def test_what_nobody_stated_is_said_when_approval_is_asked_for() -> None:
    spec = small_spec(steps=(Step(weight=10), Step(weight=100, approval=ROLES)))
    asking = enter(Context(spec, status_in(Phase.PROGRESSING), seeing(unsure=UNSURE), NOW), 1, "well")
    assert asking.history[-1].message.endswith(f"is needed before 100 %; {UNSURE}")


STEPS = (Step(weight=5, shadow=True), Step(weight=10), Step(weight=100))


@pytest.mark.parametrize(("before", "at"), [("promotion", 2), ("canary", 1)])
def test_what_the_tier_asks_for_is_asked_before_the_promotion_or_the_first_customer(
    before: str, at: int
) -> None:
    policy = bank(approvals={1: {"roles": ["validator", "approver"], "expire": "30d", "before": before}})
    spec = check(strengthened(small_spec(steps=STEPS), requirement(policy, 1)))
    assert spec.required == Required(
        roles=("validator", "approver"),
        people=2,
        expire="30d",
        before=before,  # type: ignore[arg-type]
    )
    assert [spec.asks(index) for index in range(3)] == [index == at for index in range(3)]


def test_it_is_waited_for_there_and_a_promotion_by_hand_does_not_skip_it() -> None:
    spec = small_spec(steps=(Step(weight=10), Step(weight=100)), required=TIER_1)
    status = decide(spec, status_in(Phase.PROGRESSING, **SERVED), seeing(), NOW).status
    assert (status.phase, status.step) == (Phase.AWAITING_APPROVAL, 0)
    assert "approval by validator and approver is needed before 100 %" in status.message
    promote = Command(id="c", kind="promote", by="pat", at=NOW)
    status = decide(spec, status_in(Phase.PROGRESSING), seeing(commands=(promote,)), NOW).status
    assert status.phase is Phase.AWAITING_APPROVAL
    first = replace(spec, required=replace(TIER_1, before="canary"))
    status = decide(first, status_in(Phase.STARTING), seeing(), NOW).status
    assert (status.phase, status.step) == (Phase.AWAITING_APPROVAL, -1)


def test_a_tier_that_asks_nothing_changes_nothing() -> None:
    spec = small_spec(steps=STEPS)
    assert strengthened(spec, requirement(bank(), None)) is spec


@given(
    st.lists(st.sampled_from(["validator", "approver", "legal"]), max_size=3, unique=True),
    st.integers(0, 4),
    st.one_of(st.none(), st.floats(1, 1e9)),
    st.sampled_from([None, Required(roles=("model-risk",), expire="7d", before="canary")]),
)
def test_law_strengthening_is_never_weaker_and_done_once(
    roles: list[str], people: int, expire: float | None, own: Required | None
) -> None:
    asked = Requirement(roles=tuple(roles), people=max(people, len(roles)), expire=expire)
    once = check(strengthened(small_spec(steps=STEPS, required=own), asked))
    assert strengthened(once, asked) == once
    if asked.asks:
        assert once.required is not None
        needed = once.required.requirement()
        assert set(needed.roles) >= set(roles)
        assert needed.words >= asked.words
        assert asked.expire is None or (needed.expire or 0) <= asked.expire + 0.01
        assert own is None or (once.required.before, "model-risk" in needed.roles) == ("canary", True)


def test_an_expiry_that_is_no_duration_is_refused() -> None:
    with pytest.raises(SerinusError, match=r"required.expire"):
        check(small_spec(required=Required(expire="soon")))


def test_the_rules_of_a_rollout_are_those_of_the_policy() -> None:
    assert Approval().requirement().words == 1, "a step that asks, asks for somebody"
    assert Required(expire="30d").requirement().expire == 30 * DAY
