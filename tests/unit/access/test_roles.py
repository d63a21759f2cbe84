"""Who may do what: by right, by group, by delegation, and not otherwise."""

from __future__ import annotations

import pytest

from serinus.access import Delegation, built_in, may
from serinus.access.actions import ACTIONS, EVERYDAY
from serinus.access.roles import has, holders, known_roles, lending

from .policies import DAY, bank, lent

NONE: tuple[Delegation, ...] = ()


@pytest.mark.parametrize(
    ("who", "action", "allowed"),
    [
        ("ann", "pipeline.run", True),  # by her group
        ("ann", "rollout.start", True),
        ("ann", "rollout.promote", False),
        ("vera", "rollout.approve", True),
        ("dora", "rollout.approve", True),  # by name
        ("ben", "rollout.approve", False),
        ("vera", "pipeline.run", False),
        ("pat", "rollout.promote", True),
        ("pat", "audit.export", False),
        ("amy", "audit.export", True),
        ("amy", "rollout.start", False),
        ("rita", "review.answer", True),
        ("ann", "review.answer", False),
        ("nobody", "rollout.abort", False),
        ("vera", "rollout.abort", True),  # stopping traffic is everybody's who looks after it
    ],
)
def test_what_each_role_may_do(who: str, action: str, allowed: bool) -> None:
    ruling = may(bank(), NONE, who, action, 0.0)
    assert ruling.allowed is allowed
    assert ruling.allowed or ruling.needed, "a refusal says which role it would take"


def test_an_approval_is_given_in_a_role_that_one_has() -> None:
    assert may(bank(), NONE, "vera", "version.approve", 0.0, role="validator").allowed
    refused = may(bank(), NONE, "vera", "version.approve", 0.0, role="approver")
    assert (refused.allowed, refused.needed) == (False, ("approver",))
    assert not may(bank(), NONE, "amy", "version.approve", 0.0, role="auditor").allowed
    assert not may(bank(), NONE, "oscar", "version.approve", 0.0, role="legal").allowed


def test_permissions_of_the_policy_stand_in_the_place_of_the_usual_ones() -> None:
    policy = bank(permissions={"auditor": ["audit.export", "rollout.abort"], "developer": ["pipeline.run"]})
    assert may(policy, NONE, "amy", "rollout.abort", 0.0).allowed
    assert not may(policy, NONE, "ann", "rollout.start", 0.0).allowed


def test_a_role_of_the_banks_own_gives_its_word_and_nothing_else() -> None:
    policy = bank(roles={"credit-officer": ["carl"], "validator": ["v"], "approver": ["o"]})
    allowed = {action for action in ACTIONS if may(policy, NONE, "carl", action, 0.0).allowed}
    assert allowed == {"version.approve", "rollout.approve"}


def test_without_a_policy_everybody_may_do_everything_in_any_role() -> None:
    policy = built_in()
    assert all(may(policy, NONE, "anyone", action, 0.0).allowed for action in ACTIONS)
    assert may(policy, NONE, "bob", "rollout.approve", 0.0, role="model-risk").allowed


def test_every_action_is_somebodys() -> None:
    assert {action for actions in EVERYDAY.values() for action in actions} == set(ACTIONS)
    assert set(known_roles(bank())) >= {
        "developer",
        "validator",
        "approver",
        "auditor",
        "operator",
        "reviewer",
    }


LENT = lent("approver", "oscar", "zoe", since=10.0, until=20.0)


@pytest.mark.parametrize(
    ("now", "given", "allowed"),
    [
        (9.9, LENT, False),
        (10.0, LENT, True),
        (19.9, LENT, True),
        (20.0, LENT, False),
        (15.0, lent("approver", "oscar", "zoe", 10.0, 20.0, ended=12.0), False),
        (15.0, lent("approver", "ben", "zoe", 10.0, 20.0), False),  # not ben's to lend
        (15.0, lent("approver", "oscar", "yan", 10.0, 20.0), False),  # lent to another
        (15.0, lent("breakglass", "pat", "zoe", 10.0, 20.0), False),  # never lent
    ],
)
def test_a_lent_role_holds_from_and_until(now: float, given: Delegation, allowed: bool) -> None:
    ruling = may(bank(), (given,), "zoe", "rollout.approve", now)
    assert ruling.allowed is allowed
    if ruling.right is not None:
        assert (ruling.right.role, ruling.right.on_behalf_of) == ("approver", "oscar")


def test_what_was_lent_cannot_be_lent_on() -> None:
    chain = (lent("approver", "oscar", "zoe"), lent("approver", "zoe", "yan"))
    assert may(bank(), chain, "zoe", "rollout.approve", 1.0).allowed
    assert not may(bank(), chain, "yan", "rollout.approve", 1.0).allowed
    assert "cannot be lent on" in str(lending(bank(), chain[1]))


def test_ones_own_right_goes_before_a_lent_one() -> None:
    ruling = may(bank(), (lent("approver", "oscar", "olga"),), "olga", "rollout.approve", 1.0)
    assert ruling.right is not None
    assert ruling.right.on_behalf_of == ""


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (lent("approver", "oscar", "zoe"), None),
        (lent("approver", "oscar", "oscar"), "to oneself"),
        (lent("approver", "oscar", "olga"), "has the role approver already"),
        (lent("validator", "oscar", "zoe"), "does not have the role"),
        (lent("breakglass", "pat", "zoe"), "lets nobody lend"),
        (lent("approver", "oscar", "zoe", reason=" "), "no reason"),
        (lent("approver", "oscar", "zoe", since=5.0, until=5.0), "ends before"),
        (lent("approver", "oscar", "zoe", since=5.0, until=8.0, made=9.0), "ends before"),
        (lent("approver", "oscar", "zoe", until=14 * DAY + 1), "longer than the policy's 14d"),
    ],
)
def test_what_may_be_lent(given: Delegation, why: str | None) -> None:
    found = lending(bank(), given)
    assert found is None if why is None else why in str(found)


def test_a_group_is_no_person() -> None:
    assert not has(bank(), "risk", "validator")
    assert not has(bank(), "group:risk", "validator")


TWO = (lent("approver", "ann", "zoe"), lent("approver", "oscar", "zoe"))


@pytest.mark.parametrize(
    ("own", "lender"),
    [((), "ann"), ({"ann"}, "oscar"), ({"oscar"}, "ann"), ({"ann", "oscar"}, "ann")],
    ids=["nobody had a hand in it", "the first lender built it", "the second did", "both did"],
)
def test_a_role_is_taken_from_whose_voice_may_count(own: set[str], lender: str) -> None:
    ruling = may(bank(), TWO, "zoe", "version.approve", 1.0, role="approver", own=own)
    assert ruling.right is not None
    assert ruling.right.on_behalf_of == lender


def test_a_role_that_may_not_says_which_one_may() -> None:
    ruling = may(bank(), NONE, "amy", "version.approve", 0.0, role="auditor")
    assert ruling.needed == ("approver", "breakglass", "validator")


def test_holders_are_people_not_groups() -> None:
    assert holders(bank(), ("validator", "operator")) == ("vera", "vic", "dora", "pat")
    assert holders(built_in(), ("validator",)) == ("*",)
