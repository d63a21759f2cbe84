"""A policy that is wrong is refused with its place, and allows nothing meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from serinus.access import built_in, load_policy, policy_of
from serinus.access.load import BUILT_IN, parse_policy
from serinus.errors import SerinusError
from serinus.home import Home

from .policies import BANK

HEAD = "apiVersion: serinus.io/v1\nkind: AccessPolicy\n"


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("a: [", "SRN-ACCESS-001", "line 1"),
        ("[]", "SRN-ACCESS-002", "Expected `object`"),
        (HEAD, "SRN-ACCESS-002", "missing required field `roles`"),
        (HEAD + "roles: {}\nrole: {}", "SRN-ACCESS-002", "unknown field `role`"),
        (HEAD + "roles: {approver: oscar}", "SRN-ACCESS-002", r"`\$.roles\[...\]`"),
        (HEAD + "roles: {}\napprovals: {7: {people: 1}}", "SRN-ACCESS-002", "Invalid enum value '7'"),
        (HEAD + "roles: {}\napprovals: {1: {people: -1}}", "SRN-ACCESS-002", r"people"),
        (
            HEAD + "roles: {approver: ['group:risk']}",
            "SRN-ACCESS-003",
            "group risk, which is not among groups",
        ),
        (
            HEAD + "roles: {}\npermissions: {auditor: [audit.burn]}",
            "SRN-ACCESS-003",
            "audit.burn, which is no action",
        ),
        (
            HEAD + "roles: {}\napprovals: {1: {roles: [validator]}}",
            "SRN-ACCESS-003",
            "validator, which nobody has",
        ),
        (
            HEAD + "roles: {}\napprovals: {1: {people: 1, expire: soon}}",
            "SRN-ACCESS-003",
            "approvals.1.expire: 'soon'",
        ),
        (HEAD + "roles: {}\noverride: {lasts: 0s}", "SRN-ACCESS-003", "override.lasts must be longer"),
        (HEAD + "groups: {a: ['group:b']}\nroles: {}", "SRN-ACCESS-003", "may hold names only"),
        (
            HEAD + "roles: {}\napprovals: {1: {people: 1}, '1': {people: 0}}",
            "SRN-ACCESS-003",
            "approvals names the tier 1 twice",
        ),
        (
            HEAD + "roles:\n  approver: [oscar]\n  approver: [ben]",
            "SRN-ACCESS-001",
            "line 5.*approver is there twice",
        ),
        (HEAD + "roles: {}\npermissions: {'*': [audit.export]}", "SRN-ACCESS-003", "a role, not \\*"),
        (HEAD + "roles: {'*': [ann]}\ndelegation: {never: ['*']}", "SRN-ACCESS-003", "roles, not \\*"),
        (HEAD + "roles: {1: [ann]}", "SRN-ACCESS-002", "Expected `str`"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, code: str, says: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(SerinusError, match=says) as error:
        load_policy(path)
    assert error.value.code == code
    assert str(path) in error.value.where


def test_all_contradictions_are_named_at_once() -> None:
    with pytest.raises(SerinusError, match="group x.*group y"):
        parse_policy(yaml.safe_load(HEAD + "roles: {approver: ['group:x', 'group:y']}"), where="p")


def test_an_installation_without_a_file_has_the_built_in_policy(tmp_path: Path) -> None:
    assert policy_of(Home(tmp_path)) == (built_in(), "built in")
    assert yaml.safe_load(BUILT_IN)["roles"] == {"*": ["*"]}


def test_the_installations_file_is_in_force_and_a_given_one_goes_before_it(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(BANK)
    assert policy_of(Home(tmp_path))[0].roles["operator"] == ("pat",)
    other = tmp_path / "other.yaml"
    other.write_text(HEAD + "roles: {operator: [zed]}")
    assert policy_of(Home(tmp_path), other)[0].roles == {"operator": ("zed",)}


def test_a_policy_that_cannot_be_read_is_not_the_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").mkdir()
    with pytest.raises(SerinusError, match="SRN-ACCESS-001"):
        policy_of(Home(tmp_path))
    with pytest.raises(SerinusError, match="SRN-ACCESS-001"):
        policy_of(Home(tmp_path), tmp_path / "absent.yaml")


def test_a_link_to_a_policy_that_is_gone_opens_no_door(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").symlink_to(tmp_path / "mounted" / "policy.yaml")
    with pytest.raises(SerinusError, match="SRN-ACCESS-001"):
        policy_of(Home(tmp_path))


def test_the_environment_names_a_policy_before_that_of_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policy.yaml").write_text(BANK)
    mounted = tmp_path / "mounted.yaml"
    monkeypatch.setenv("SERINUS_POLICY", str(mounted))
    with pytest.raises(SerinusError, match="SRN-ACCESS-001"):
        policy_of(Home(tmp_path))  # named and not there: nobody may do anything
    mounted.write_text(HEAD + "roles: {operator: [zed]}")
    assert policy_of(Home(tmp_path))[0].roles == {"operator": ("zed",)}
    assert policy_of(Home(tmp_path), tmp_path / "policy.yaml")[0].roles["operator"] == ("pat",)
