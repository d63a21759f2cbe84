"""Approvals under a policy: in a role that one has, by tier, for a time; and an override that is seen."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from serinus.access import Judgement
from serinus.cli import main
from serinus.errors import SerinusError
from serinus.registry import Registry, Version, approvals
from serinus.registry.records import Facts
from tests.support.bundles import small_bundle, small_home
from tests.unit.access.policies import BANK, DAY

WHY = "The approver is in hospital and card fraud runs at 40 k an hour; reviewed by phone."


class Bank:
    """A registry under the bank's policy, with version 1 of a tier built by ben."""

    def __init__(self, root: Path, tier: int | None) -> None:
        self.now = 1_000_000.0
        self.home = small_home(root)
        self.registry = Registry(self.home, clock=lambda: self.now)
        self.home.policy.write_text(BANK)
        self.registry.register(small_bundle(root), by="ben", owner="cards", run="r1")
        with self.registry.transaction() as db:
            db.execute("UPDATE versions SET tier = ?", (tier,))

    def approve(self, by: str, role: str, reason: str = "read the report") -> None:
        self.registry.approve("small", 1, by=by, role=role, reason=reason)

    @property
    def stage(self) -> str:
        return self.registry.get("small", 1).stage

    @property
    def actions(self) -> list[str]:
        return [entry.action for entry in self.registry.audit.entries()]


def test_tier_1_takes_a_validator_and_an_approver(tmp_path: Path) -> None:
    bank = Bank(tmp_path, 1)
    bank.approve("vera", "validator")
    assert (bank.stage, bank.registry.standing("small", 1).missing) == ("validated", ("approver",))
    bank.approve("oscar", "approver")
    assert (bank.stage, bank.registry.standing("small", 1).met) == ("approved", True)
    bank.now += 30 * DAY
    assert not bank.registry.standing("small", 1).met, "words of tier 1 hold for 30 days"


@pytest.mark.parametrize(
    ("by", "role", "code"),
    [
        ("vera", "approver", "SRN-ACCESS-005"),  # not her role
        ("amy", "auditor", "SRN-ACCESS-005"),  # not a role that approves
        ("ben", "approver", "SRN-APPROVAL-001"),  # his own work
        ("zoe", "approver", "SRN-ACCESS-005"),  # nobody
    ],
)
def test_a_word_in_a_role_that_is_not_theirs_is_refused_and_recorded(
    tmp_path: Path, by: str, role: str, code: str
) -> None:
    bank = Bank(tmp_path, 2)
    with pytest.raises(SerinusError) as error:
        bank.approve(by, role)
    assert error.value.code == code
    assert bank.registry.approvals("small", 1) == []
    assert bank.actions[-1] in ("access-refused", "approval-refused")


@pytest.mark.parametrize("policy", [True, False])
def test_under_a_policy_nobody_approves_what_nobody_is_said_to_have_built(
    tmp_path: Path, policy: bool
) -> None:
    bank = Bank(tmp_path, 2)
    with bank.registry.transaction() as db:
        db.execute("UPDATE versions SET built_by = ''")
    if policy:
        with pytest.raises(SerinusError, match="SRN-APPROVAL-003 .*who built it is not stated"):
            bank.approve("oscar", "approver")
        assert bank.actions[-1] == "approval-refused"
    else:
        bank.home.policy.unlink()
        bank.approve("oscar", "approver")
    assert bool(bank.registry.approvals("small", 1)) is not policy


def test_a_lent_role_speaks_for_its_lender(tmp_path: Path) -> None:
    bank = Bank(tmp_path, 2)
    end = bank.now + DAY
    bank.registry.access.delegate(
        role="approver", by="oscar", to="zoe", since=bank.now, until=end, reason="leave"
    )
    bank.approve("zoe", "approver")
    (approval,) = bank.registry.approvals("small", 1)
    assert (approval.by, approval.on_behalf_of) == ("zoe", "oscar")
    bank.now = end
    assert bank.registry.standing("small", 1).met, "what was said while it held stays said"
    with pytest.raises(SerinusError, match="SRN-ACCESS-005"):
        bank.approve("zoe", "approver")


def test_a_builder_does_not_approve_through_somebody_else(tmp_path: Path) -> None:
    bank = Bank(tmp_path, 2)
    policy = BANK.replace("approver: [oscar, olga, ann]", "approver: [oscar, ben]")
    bank.home.policy.write_text(policy)
    bank.registry.access.delegate(
        role="approver", by="ben", to="zoe", since=bank.now, until=bank.now + DAY, reason="leave"
    )
    with pytest.raises(SerinusError, match=r"SRN-APPROVAL-001.*lent by ben, who built it"):
        bank.approve("zoe", "approver")


def test_an_override_stands_for_all_for_a_day_and_is_seen(tmp_path: Path) -> None:
    bank = Bank(tmp_path, 1)
    with pytest.raises(SerinusError, match="SRN-ACCESS-008"):
        bank.approve("pat", "breakglass", "urgent")
    assert bank.actions[-1] == "approval-refused", "who tried is known"
    bank.approve("pat", "breakglass", WHY)
    assert (bank.stage, bank.registry.standing("small", 1).overridden) == ("approved", True)
    assert "override" in bank.actions
    (given,) = bank.registry.access.book.overrides()
    assert (given.by, given.model, given.until - given.at) == ("pat", "small", DAY)
    bank.now += DAY
    assert not bank.registry.standing("small", 1).met


def test_nobody_overrides_for_their_own_work(tmp_path: Path) -> None:
    bank = Bank(tmp_path, 1)
    bank.home.policy.write_text(BANK.replace("breakglass: [pat, ann]", "breakglass: [ben]"))
    with pytest.raises(SerinusError, match="SRN-APPROVAL-001"):
        bank.approve("ben", "breakglass", WHY)
    assert bank.registry.access.book.overrides() == []


def test_the_last_word_takes_no_canary_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollout begins between the word and what follows from it."""
    bank = Bank(tmp_path, 2)
    judged = approvals.standing

    def meanwhile(registry: Registry, version: Version) -> Judgement:
        Registry(bank.home).set_stage("small", 1, "canary", by="engine", reason="step 1")
        return judged(registry, version)

    monkeypatch.setattr(approvals, "standing", meanwhile)
    bank.approve("oscar", "approver")
    assert bank.stage == "canary"


def test_the_commands_say_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bank = Bank(tmp_path, 1)
    home = ["--home", str(bank.home.root)]
    approve = ["registry", "approve", "small", "1", "--reason", "read it", *home]
    assert main([*approve, "--as", "vera", "--role", "validator"]) == 0
    assert "Still missing: approver." in capsys.readouterr().out
    assert main(["registry", "show", "small", *home]) == 0
    assert "still missing for tier 1: approver" in capsys.readouterr().out
    assert main([*approve, "--as", "amy", "--role", "approver"]) == 1
    assert "It takes the role approver" in capsys.readouterr().err
    assert main(["registry", "show", "small", "-o", "json", *home]) == 0
    shown = msgspec.json.decode(capsys.readouterr().out)
    assert shown["standing"]["missing"] == ["approver"]
    check = ["access", "check", "ben", "version.approve", "--subject", "small/1", *home]
    assert main(check) == 1
    assert main(["access", "check", "oscar", "version.approve", "--subject", "small/1", *home]) == 0


def test_a_word_is_given_for_a_lender_who_did_not_build_it(tmp_path: Path) -> None:
    bank = Bank(tmp_path, 2)
    bank.home.policy.write_text(BANK.replace("olga, ann]", "olga, ben]"))
    access = bank.registry.access
    for lender in ("ben", "oscar"):
        access.delegate(
            role="approver", by=lender, to="zoe", since=bank.now, until=bank.now + DAY, reason="leave"
        )
    bank.approve("zoe", "approver")
    (word,) = bank.registry.approvals("small", 1)
    assert (word.on_behalf_of, bank.stage) == ("oscar", "approved")


def test_a_version_of_no_tier_that_there_is_is_not_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(small_home(tmp_path))
    monkeypatch.setattr("serinus.registry.store.facts_of", lambda path: Facts(tier=9))
    with pytest.raises(SerinusError, match="SRN-ACCESS-009"):
        registry.register(small_bundle(tmp_path), by="ben", owner="cards", run="r1")
    assert registry.models() == []
