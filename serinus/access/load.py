"""Reading a policy: YAML to a checked ``AccessPolicy``, or an error with its place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from serinus.access.actions import ACTIONS, EVERYDAY
from serinus.access.types import EVERYONE, GROUP, AccessPolicy
from serinus.documents import UnreadableError, read_yaml
from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.home import Home

BUILT_IN = """\
apiVersion: serinus.io/v1
kind: AccessPolicy
roles:
  "*": ["*"]                # without a policy of your own everybody has every role; separation of duties holds
approvals:
  1: {roles: [validator, approver], expire: 90d}
  2: {roles: [approver], expire: 180d}
  3: {people: 0}
  4: {people: 0}
  none: {people: 0}         # what a rollout's steps ask for is asked for at every tier
"""
"""The policy of an installation without a file of its own."""


@cache
def built_in() -> AccessPolicy:
    """The policy of an installation without a file of its own."""
    return parse_policy(yaml.safe_load(BUILT_IN), where="the built-in policy")


def written(policy: AccessPolicy) -> bool:
    """Whether somebody wrote a policy, and means it; else it is the built-in one."""
    return policy is not built_in()


def policy_of(home: Home, explicit: Path | None = None) -> tuple[AccessPolicy, str]:
    """The policy in force in an installation, and where it stands: ``--policy``, the file that ``$SERINUS_POLICY``
    names, ``<home>/policy.yaml``, or built in.

    Raises:
        SerinusError: as ``load_policy``: a policy that cannot be read allows nothing.
    """
    named = os.environ.get("SERINUS_POLICY")
    path = explicit or (Path(named) if named else home.policy)
    # A link to a policy that is gone is one that cannot be read, not the absence of one.
    if explicit is None and not named and not os.path.lexists(path):
        return built_in(), "built in"
    return load_policy(path), str(path)


def load_policy(path: Path) -> AccessPolicy:
    """Read and check the policy in a YAML file.

    Raises:
        SerinusError: ``SRN-ACCESS-001`` it cannot be read or is not YAML; ``-002`` a key is missing,
            misspelt or of the wrong type; ``-003`` it contradicts itself (all contradictions at once).
    """
    try:
        data = read_yaml(path)
    except UnreadableError as error:
        raise SerinusError(
            "SRN-ACCESS-001",
            f"the policy {error.what}, so nobody may do anything",
            where=error.where,
            hint=error.hint("Mend the path or the permissions; docs/access.md shows a policy."),
        ) from error
    return parse_policy(data, where=str(path))


def parse_policy(data: Any, *, where: str) -> AccessPolicy:
    """Check already parsed YAML or JSON. Raises as ``load_policy``, codes 002 and 003."""
    if isinstance(data, dict) and isinstance(data.get("approvals"), dict):
        # A tier is a number to whoever writes it, and a key of JSON.
        tiers = [str(tier) for tier in data["approvals"]]
        if twice := sorted({tier for tier in tiers if tiers.count(tier) > 1}):
            raise _contradiction(
                f"approvals names the tier {', '.join(twice)} twice, as number and as text", where
            )
        data = {**data, "approvals": dict(zip(tiers, data["approvals"].values(), strict=True))}
    try:
        policy = msgspec.convert(data, AccessPolicy)
    except msgspec.ValidationError as error:
        raise SerinusError(
            "SRN-ACCESS-002",
            f"not an access policy: {error}",
            where=where,
            hint="Compare that key with docs/access.md, which lists every key and its type.",
        ) from error
    found = list(problems(policy))
    if found:
        raise _contradiction("; ".join(found), where)
    return policy


def _contradiction(what: str, where: str) -> SerinusError:
    return SerinusError(
        "SRN-ACCESS-003",
        what,
        where=where,
        hint="Mend each of these in the policy; serinus access show tells what a policy says.",
    )


def problems(policy: AccessPolicy) -> Iterator[str]:
    """What types cannot say."""
    for role, entries in policy.roles.items():
        for entry in entries:
            group = entry.removeprefix(GROUP)
            if entry.startswith(GROUP) and group not in policy.groups:
                known = ", ".join(policy.groups) or "none"
                yield f"roles.{role} names the group {group}, which is not among groups ({known})"
    for group, people in policy.groups.items():
        for person in people:
            if person == EVERYONE or person.startswith(GROUP):
                yield f"groups.{group} may hold names only, not {person}"
    for role, actions in policy.permissions.items():
        if role == EVERYONE:
            yield "permissions must name a role, not *: to each role its own"
        for action in actions:
            if action not in ACTIONS:
                yield f"permissions.{role} has {action}, which is no action; known are {', '.join(ACTIONS)}"
    named = {*policy.roles, *EVERYDAY}
    for tier, asked in policy.approvals.items():
        if len(asked.roles) != len(set(asked.roles)):
            yield f"approvals.{tier}.roles names a role twice"
        for role in asked.roles:
            if role == EVERYONE:
                yield f"approvals.{tier}.roles must name roles; for anybody's word say people"
            elif EVERYONE not in policy.roles and not policy.roles.get(role):
                yield f"approvals.{tier} asks for the role {role}, which nobody has"
            if role == policy.override.role:
                yield f"approvals.{tier} asks for {role}, the role that overrides what is asked for"
        if asked.expire is not None:
            yield from _duration(f"approvals.{tier}.expire", asked.expire)
    if policy.override.role == EVERYONE:
        yield "override.role must name a role"
    for role in policy.delegation.never:
        if role == EVERYONE:
            yield "delegation.never must name roles, not *"
        elif role not in named and EVERYONE not in policy.roles:
            yield f"delegation.never names the role {role}, which is not among roles"
    yield from _duration("delegation.longest", policy.delegation.longest)
    yield from _duration("override.lasts", policy.override.lasts)


def _duration(where: str, text: str) -> Iterator[str]:
    try:
        if parse_duration(text) <= 0:
            yield f"{where} must be longer than nothing, not {text}"
    except ValueError as problem:
        yield f"{where}: {problem}"
