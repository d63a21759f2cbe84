"""The policy as RBAC: who may write which words on a cluster."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from serinus.access import built_in
from serinus.access.kubernetes import VERBS, bindings, cluster_roles, user_roles
from serinus.access.roles import known_roles, permitted
from serinus.cli import main

from .policies import BANK, bank

Rights = set[tuple[str, str]]


def rights(role: dict[str, Any]) -> Rights:
    return {(kind, verb) for rule in role["rules"] for kind in rule["resources"] for verb in rule["verbs"]}


ROLES = {role["metadata"]["name"]: role for role in cluster_roles(bank(), "s")}
READ = {
    (kind, verb)
    for kind in ("modelrollouts", "rolloutapprovals", "rolloutcommands")
    for verb in ("get", "list", "watch")
}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("viewer", set()),
        (
            "approver",
            {("rolloutapprovals", "create"), ("rolloutcommands", "create"), ("rolloutroles", "approve")},
        ),
        ("breakglass", {("rolloutapprovals", "create"), ("rolloutroles", "approve")}),
        (
            "operator",
            {
                ("rolloutcommands", "create"),
                *(("modelrollouts", v) for v in ("create", "update", "patch", "delete")),
            },
        ),
    ],
)
def test_each_role_may_what_its_actions_take_and_nothing_else(name: str, more: Rights) -> None:
    assert rights(ROLES[f"s-rollout-{name}"]) == READ | more


def test_a_role_without_anything_to_do_there_has_no_cluster_role() -> None:
    assert "s-rollout-auditor" not in ROLES
    assert "s-rollout-reviewer" not in ROLES


def test_one_approves_in_ones_own_role_only() -> None:
    for role in known_roles(bank()):
        if "rollout.approve" in permitted(bank(), role):
            named = [
                rule["resourceNames"]
                for rule in ROLES[f"s-rollout-{role}"]["rules"]
                if "resourceNames" in rule
            ]
            assert named == [[role]]


def test_whoever_edits_a_namespace_never_approves_by_that() -> None:
    generous = bank(permissions={"operator": ["rollout.start", "rollout.approve"]})
    for policy in (built_in(), bank(), generous):
        for role in user_roles(policy):
            if "rbac.authorization.k8s.io/aggregate-to-edit" in role.labels:
                assert not any("rolloutroles" in rule["resources"] for rule in role.rules)


def test_every_action_on_rollouts_is_mapped() -> None:
    from serinus.access.actions import ACTIONS

    assert set(VERBS) == {action for action in ACTIONS if action.startswith("rollout.")}


def test_people_and_groups_are_bound(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = {binding["roleRef"]["name"]: binding["subjects"] for binding in bindings(bank(), "s", "models")}
    assert [(s["kind"], s["name"]) for s in found["s-rollout-validator"]] == [
        ("Group", "risk"),
        ("User", "dora"),
    ]
    everybody = {b["roleRef"]["name"]: b["subjects"][0]["name"] for b in bindings(built_in(), "s", "models")}
    assert everybody["s-rollout-approver"] == "system:authenticated"
    policy = tmp_path / "policy.yaml"
    policy.write_text(BANK)
    assert main(["access", "rbac", "-n", "models", "--policy", str(policy), "--home", str(tmp_path)]) == 0
    printed = list(yaml.safe_load_all(capsys.readouterr().out))
    assert {p["kind"] for p in printed} == {"ClusterRole", "RoleBinding"}
