"""The door of an installation: who is turned away is recorded, and so is what is lent."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path

import pytest

from serinus.access import Access
from serinus.errors import SerinusError
from serinus.home import Home

from .policies import BANK, DAY


def door(tmp_path: Path, now: list[float] | None = None) -> Access:
    (tmp_path / "policy.yaml").write_text(BANK)
    moment = now or [0.0]
    return Access(Home(tmp_path), clock=lambda: moment[0])


def actions(access: Access) -> list[str]:
    return [entry.action for entry in access.audit.entries()]


def test_a_refusal_says_who_what_and_which_role_and_is_recorded(tmp_path: Path) -> None:
    access = door(tmp_path)
    assert access.require("amy", "audit.export", "fraud").role == "auditor"
    with pytest.raises(
        SerinusError, match="SRN-ACCESS-005.*ann may not audit.export fraud.*role auditor"
    ) as error:
        access.require("ann", "audit.export", "fraud")
    assert str(tmp_path / "policy.yaml") in error.value.where
    (entry,) = access.audit.entries()
    assert (entry.actor, entry.action, entry.subject) == ("ann", "access-refused", "fraud")
    assert entry.details["needed"] == ["auditor"]


def test_a_role_is_lent_for_a_time_and_recorded(tmp_path: Path) -> None:
    now = [100.0]
    access = door(tmp_path, now)
    given = access.delegate(role="approver", by="oscar", to="zoe", since=100.0, until=200.0, reason="leave")
    assert access.require("zoe", "version.approve", "fraud/1", role="approver").on_behalf_of == "oscar"
    now[0] = 200.0
    with pytest.raises(SerinusError, match="SRN-ACCESS-005"):
        access.require("zoe", "version.approve", "fraud/1", role="approver")
    assert access.book.delegations() == [given]
    assert actions(access) == ["delegate", "access-refused"]


def test_what_may_not_be_lent_is_refused_and_recorded(tmp_path: Path) -> None:
    access = door(tmp_path)
    with pytest.raises(SerinusError, match="SRN-ACCESS-006.*does not have the role"):
        access.delegate(role="approver", by="ben", to="zoe", since=0.0, until=DAY, reason="leave")
    assert access.book.delegations() == []
    assert actions(access) == ["delegation-refused"]


def test_either_side_takes_a_delegation_back_and_nobody_else(tmp_path: Path) -> None:
    now = [0.0]
    access = door(tmp_path, now)
    one = access.delegate(role="approver", by="oscar", to="zoe", since=0.0, until=DAY, reason="leave")
    with pytest.raises(SerinusError, match="SRN-ACCESS-007.*not pat's to end"):
        access.take_back(one.id, by="pat", reason="x")
    with pytest.raises(SerinusError, match="SRN-ACCESS-007.*no delegation d-0"):
        access.take_back("d-0", by="oscar", reason="x")
    now[0] = 5.0
    access.take_back(one.id, by="zoe", reason="back")
    assert not access.may("zoe", "version.approve", role="approver").allowed
    with pytest.raises(SerinusError, match="ended already"):
        access.take_back(one.id, by="oscar", reason="x")


def test_what_cannot_be_recorded_is_not_lent(tmp_path: Path) -> None:
    access = door(tmp_path)
    access.audit.path.mkdir(parents=True)
    with pytest.raises(SerinusError, match="SRN-AUDIT-002"):
        access.delegate(role="approver", by="oscar", to="zoe", since=0.0, until=DAY, reason="leave")
    assert access.book.delegations() == []


def test_a_broken_policy_lets_nobody_in(tmp_path: Path) -> None:
    access = door(tmp_path)
    (tmp_path / "policy.yaml").write_text("roles: [")
    with pytest.raises(SerinusError, match="SRN-ACCESS-001"):
        access.require("amy", "audit.export", "fraud")


def test_an_override_needs_more_than_a_word(tmp_path: Path) -> None:
    access = door(tmp_path)
    with pytest.raises(SerinusError, match="SRN-ACCESS-008.*6 characters, the policy asks for 40"):
        access.justified("urgent  ")
    access.justified("The only approver is in hospital, card fraud is running at 40 k an hour.")


@pytest.mark.parametrize("made", ["", "CREATE TABLE other (id)"])
def test_a_book_that_was_never_finished_turns_nobody_away(tmp_path: Path, made: str) -> None:
    """Killed, or the disk full, between the file and its tables."""
    access = door(tmp_path, [100.0])
    with contextlib.closing(sqlite3.connect(Home(tmp_path).access_db)) as db:
        db.executescript(made)
    Home(tmp_path).access_db.touch()
    assert (access.book.delegations(), access.book.overrides()) == ([], [])
    assert access.require("amy", "audit.export", "fraud").role == "auditor"
    given = access.delegate(role="approver", by="oscar", to="zoe", since=100.0, until=200.0, reason="leave")
    assert access.book.delegations() == [given]


@pytest.mark.parametrize(
    ("who", "action", "role", "way"),
    [
        ("ann", "audit.export", None, r"It takes the role auditor \(of amy\): ask them, or to be lent it"),
        (
            "amy",
            "version.approve",
            "auditor",
            r"It takes the role approver or validator \(of oscar, olga, ann, vera, vic and 1 more\)",
        ),
        ("ann", "privacy.erase", None, "It takes the role privacy, which nobody has: give it to somebody"),
    ],
)
def test_a_refusal_points_to_who_could(
    tmp_path: Path, who: str, action: str, role: str | None, way: str
) -> None:
    with pytest.raises(SerinusError, match="SRN-ACCESS-005") as error:
        door(tmp_path).require(who, action, "fraud/1", role=role)
    assert re.search(way, error.value.hint), error.value.hint


def test_where_everybody_has_every_role_only_its_name_was_wrong(tmp_path: Path) -> None:
    with pytest.raises(SerinusError, match="SRN-ACCESS-005") as error:
        Access(Home(tmp_path)).require("amy", "version.approve", "fraud/1", role="auditor")
    assert "which everybody has: name it" in error.value.hint


def test_what_two_take_back_at_once_ends_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    access = door(tmp_path, now)
    given = access.delegate(role="approver", by="oscar", to="zoe", since=0.0, until=DAY, reason="leave")
    seen = access.book.delegations()
    access.take_back(given.id, by="oscar", reason="back early")
    monkeypatch.setattr(access.book, "delegations", lambda: seen)  # who looked before that
    with pytest.raises(SerinusError, match="SRN-ACCESS-007.*ended already"):
        access.take_back(given.id, by="zoe", reason="not needed")
    assert actions(access) == ["delegate", "delegation-ended"]
