"""Who has which role, by right or by delegation, and whether it lets them act. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from serinus.access.actions import EVERYDAY, OTHER
from serinus.access.types import EVERYONE, GROUP, AccessPolicy
from serinus.durations import parse_duration


class Delegation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A role lent from one person to another. Times in Unix seconds; ``ended`` if it was taken back."""

    id: str
    role: str
    by: str
    to: str
    since: float
    until: float
    reason: str
    made: float
    ended: float | None = None

    def holds(self, now: float) -> bool:
        """Whether it is in force: a moment at ``until`` is too late."""
        return self.since <= now < min(self.until, self.until if self.ended is None else self.ended)


class Right(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which somebody has a role; ``on_behalf_of`` is who lent it, empty for their own."""

    role: str
    on_behalf_of: str = ""


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """Whether somebody may act, why, and by which right. ``needed``: roles that would let them."""

    allowed: bool
    why: str
    right: Right | None = None
    needed: tuple[str, ...] = ()


def members(policy: AccessPolicy, role: str) -> tuple[str, ...]:
    """Whom the policy gives a role, as it is written."""
    return policy.roles.get(role, policy.roles.get(EVERYONE, ()))


def has(policy: AccessPolicy, who: str, role: str) -> bool:
    """Whether somebody has a role in their own right."""
    for entry in members(policy, role):
        if entry.startswith(GROUP):
            # Nobody is a group, whatever they call themselves.
            if who in policy.groups.get(entry.removeprefix(GROUP), ()):
                return True
        elif entry in (EVERYONE, who):
            return True
    return False


def holders(policy: AccessPolicy, roles: Iterable[str]) -> tuple[str, ...]:
    """Who has one of these roles in their own right, groups by their people; ``*`` is everybody."""
    found: dict[str, None] = {}
    for role in roles:
        for entry in members(policy, role):
            people = policy.groups.get(entry.removeprefix(GROUP), ()) if entry.startswith(GROUP) else (entry,)
            found |= dict.fromkeys(people)
    return tuple(found)


def known_roles(policy: AccessPolicy) -> tuple[str, ...]:
    """Roles that the policy or this program names, sorted."""
    asked = {role for tier in policy.approvals.values() for role in tier.roles}
    named = {*EVERYDAY, *policy.roles, *policy.permissions, *asked, policy.override.role}
    return tuple(sorted(named - {EVERYONE}))


def permitted(policy: AccessPolicy, role: str) -> tuple[str, ...]:
    """What a role may do."""
    usual = EVERYDAY.get(role, OTHER)
    if role == policy.override.role:
        usual = EVERYDAY["breakglass"]
    return policy.permissions.get(role, usual)


def rights(
    policy: AccessPolicy, delegations: Iterable[Delegation], who: str, now: float, roles: Iterable[str]
) -> list[Right]:
    """Somebody's rights to these roles now, their own before lent ones.

    A delegation is worth what its giver has in their own right at this moment: what was lent
    cannot be lent on, and whoever loses a role has lent nothing any more.
    """
    wanted = tuple(roles)
    found = [Right(role=role) for role in wanted if has(policy, who, role)]
    own = {right.role for right in found}
    for lent in delegations:
        if lent.to != who or lent.by == who or lent.role not in wanted or lent.role in own:
            continue
        if lent.role not in policy.delegation.never and lent.holds(now) and has(policy, lent.by, lent.role):
            found.append(Right(role=lent.role, on_behalf_of=lent.by))
    return found


def may(
    policy: AccessPolicy,
    delegations: Sequence[Delegation],
    who: str,
    action: str,
    now: float,
    *,
    role: str | None = None,
    own: Collection[str] = (),
) -> Ruling:
    """Whether somebody may do something.

    Args:
        role: the role in which they act, where the action is done in one (``actions.APPROVING``).
        own: who had a hand in what it is about. A role that one of them lent is taken only where nobody
            else lent it: their voice may not count.
    """
    able = [known for known in _candidates(policy, role) if action in permitted(policy, known)]
    needed = tuple(sorted(able))
    if role is not None and not able:
        others = tuple(known for known in known_roles(policy) if action in permitted(policy, known))
        return Ruling(allowed=False, why=f"the role {role} is not one that may {action}", needed=others)
    if not able:
        return Ruling(allowed=False, why=f"no role may {action}")
    found = rights(policy, delegations, who, now, able)
    if not found:
        return Ruling(allowed=False, why=f"{who} has none of the roles that may {action}", needed=needed)
    right = min(found, key=lambda right: right.on_behalf_of in own)
    lent = f", lent by {right.on_behalf_of}" if right.on_behalf_of else ""
    return Ruling(allowed=True, why=f"{who} has the role {right.role}{lent}", right=right, needed=needed)


def _candidates(policy: AccessPolicy, role: str | None) -> tuple[str, ...]:
    return known_roles(policy) if role is None else (role,)


def lending(policy: AccessPolicy, given: Delegation) -> str | None:
    """Why a delegation cannot be made, or None. The law: nobody lends what is not their own."""
    longest = parse_duration(policy.delegation.longest)
    if not given.reason.strip():
        return "it gives no reason"
    if given.by == given.to:
        return "one cannot lend a role to oneself"
    if given.role in policy.delegation.never:
        return f"the policy lets nobody lend the role {given.role}"
    if not has(policy, given.by, given.role):
        return f"{given.by} does not have the role {given.role} in their own right, and what was lent cannot be lent on"
    if has(policy, given.to, given.role):
        return f"{given.to} has the role {given.role} already"
    if given.until <= given.since or given.until <= given.made:
        return "it ends before it begins"
    if given.until - given.since > longest:
        return f"it is for longer than the policy's {policy.delegation.longest}"
    return None
