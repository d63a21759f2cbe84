"""The policy in the cluster's own words: a ClusterRole for each role that has something to do there. Pure.

RBAC says which kinds of words somebody may write; that a word carries their own name, and that they
have the role they approve in, the admission policies see to. RBAC cannot tell one command from
another: whoever may give one may give all.
"""

from __future__ import annotations

from typing import Any

import msgspec

from serinus.access.actions import APPROVING
from serinus.access.roles import known_roles, members, permitted
from serinus.access.types import EVERYONE, GROUP, AccessPolicy

_GROUP = "serinus.io"
_KINDS = ("modelrollouts", "rolloutapprovals", "rolloutcommands")
_READ = ("get", "list", "watch")
# Action → kind and verbs that it takes on a cluster. What is not here is not done there.
VERBS: dict[str, tuple[str, tuple[str, ...]]] = {
    "rollout.start": ("modelrollouts", ("create", "update", "patch", "delete")),
    "rollout.approve": ("rolloutapprovals", ("create",)),
    "rollout.promote": ("rolloutcommands", ("create",)),
    "rollout.pause": ("rolloutcommands", ("create",)),
    "rollout.resume": ("rolloutcommands", ("create",)),
    "rollout.abort": ("rolloutcommands", ("create",)),
}


class UserRole(msgspec.Struct, frozen=True, kw_only=True):
    """A ClusterRole for people: what stands after the release's name, labels, and rules."""

    suffix: str
    labels: dict[str, str]
    rules: tuple[dict[str, Any], ...]


def user_roles(policy: AccessPolicy) -> list[UserRole]:
    """ClusterRoles for people: a viewer, and one for each role of the policy that acts on rollouts.

    Whoever may see a namespace sees its rollouts; whoever may edit it has what an operator has, if
    nobody approves by that.
    """
    found = [
        UserRole(
            suffix="rollout-viewer",
            labels={"rbac.authorization.k8s.io/aggregate-to-view": "true"},
            rules=(_rule(_KINDS, _READ),),
        )
    ]
    for role in known_roles(policy):
        actions = permitted(policy, role)
        if not any(action in VERBS for action in actions):
            continue
        edits = role == "operator" and not set(actions) & APPROVING
        found.append(
            UserRole(
                suffix=f"rollout-{role}",
                labels={"rbac.authorization.k8s.io/aggregate-to-edit": "true"} if edits else {},
                rules=_rules(role, actions),
            )
        )
    return found


def bindings(policy: AccessPolicy, prefix: str, namespace: str) -> list[dict[str, Any]]:
    """RoleBindings of the policy's people and groups in a namespace. Lent roles are left out: RBAC knows no end."""
    found: list[dict[str, Any]] = []
    for role in user_roles(policy)[1:]:
        name = f"{prefix}-{role.suffix}"
        subjects = [_subject(entry) for entry in members(policy, role.suffix.removeprefix("rollout-"))]
        if subjects:
            found.append(
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "RoleBinding",
                    "metadata": {"name": name, "namespace": namespace},
                    "roleRef": {
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": "ClusterRole",
                        "name": name,
                    },
                    "subjects": subjects,
                }
            )
    return found


def cluster_roles(policy: AccessPolicy, prefix: str) -> list[dict[str, Any]]:
    """The roles as objects."""
    return [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": f"{prefix}-{role.suffix}", "labels": role.labels},
            "rules": list(role.rules),
        }
        for role in user_roles(policy)
    ]


def _rules(role: str, actions: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    verbs: dict[str, list[str]] = {kind: list(_READ) for kind in _KINDS}
    for action in actions:
        if action in VERBS:
            kind, more = VERBS[action]
            verbs[kind] += [verb for verb in more if verb not in verbs[kind]]
    rules = [_rule((kind,), tuple(found)) for kind, found in verbs.items()]
    if "rollout.approve" in actions:
        rules.append({**_rule(("rolloutroles",), ("approve",)), "resourceNames": [role]})
    return tuple(rules)


def _rule(kinds: tuple[str, ...], verbs: tuple[str, ...]) -> dict[str, Any]:
    return {"apiGroups": [_GROUP], "resources": list(kinds), "verbs": list(verbs)}


def _subject(entry: str) -> dict[str, str]:
    """A member as RBAC names one. Users and groups are those of the cluster's authenticator."""
    if entry == EVERYONE:
        kind, name = "Group", "system:authenticated"
    elif entry.startswith(GROUP):
        kind, name = "Group", entry.removeprefix(GROUP)
    else:
        kind, name = "User", entry
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
