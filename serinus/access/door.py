"""One installation's door: the policy in force, who lent what, and a record of everybody who was turned away."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from serinus.access.approving import Requirement, requirement
from serinus.access.book import Book, Overridden
from serinus.access.load import policy_of
from serinus.access.roles import Delegation, Right, Ruling, holders, lending, may
from serinus.access.types import EVERYONE, AccessPolicy, Override
from serinus.audit import AuditLog
from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.home import Home

_NAMED = 5  # people that a refusal names


class Access:
    """Asked before anything is done in somebody's name. The policy is read anew for each question.

    Args:
        policy: a policy's file in the place of the installation's own.
        clock: Unix seconds.
    """

    def __init__(
        self, home: Home, policy: Path | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.book = Book(home.access_db)
        self.audit = AuditLog(home.audit, clock)
        self._home = home
        self._file = policy
        self._clock = clock

    def now(self) -> float:
        """Unix seconds."""
        return self._clock()

    def policy(self) -> AccessPolicy:
        """The policy in force. Raises as ``load_policy``."""
        return policy_of(self._home, self._file)[0]

    def place(self) -> str:
        """Where it stands."""
        return policy_of(self._home, self._file)[1]

    def may(self, who: str, action: str, *, role: str | None = None, own: Collection[str] = ()) -> Ruling:
        """Whether somebody may do something now; arguments as of ``roles.may``. Raises as ``load_policy``."""
        return may(self.policy(), self.book.delegations(), who, action, self._clock(), role=role, own=own)

    def require(
        self, who: str, action: str, subject: str, *, role: str | None = None, own: Collection[str] = ()
    ) -> Right:
        """By which right somebody does something; a refusal is recorded.

        Raises:
            SerinusError: ``SRN-ACCESS-005`` with who, what and which role would be needed; as ``load_policy``.
        """
        ruling = self.may(who, action, role=role, own=own)
        if ruling.right is not None:
            return ruling.right
        self.audit.append(
            actor=who,
            action="access-refused",
            subject=subject,
            reason=ruling.why,
            details={"asked": action, "needed": list(ruling.needed), "policy": self.place()},
        )
        raise SerinusError(
            "SRN-ACCESS-005",
            f"{who} may not {action} {subject}: {ruling.why}",
            where=f"access policy, {self.place()}",
            hint=self._way(ruling, action),
        )

    def _way(self, ruling: Ruling, action: str) -> str:
        """What would let somebody do it: a role, and who has it."""
        if not ruling.needed:
            return f"Give {action} to a role: permissions in the policy (serinus access show)."
        policy = self.policy()
        # Breaking the glass is no way to be pointed to, unless there is no other.
        roles = [role for role in ruling.needed if role != policy.override.role] or list(ruling.needed)
        asked = f"It takes the role {' or '.join(roles)}"
        people = holders(policy, roles)
        if EVERYONE in people:
            return f"{asked}, which everybody has: name it (serinus access explain {action})."
        if not people:
            return f"{asked}, which nobody has: give it to somebody in the policy (serinus access show)."
        more = len(people) - _NAMED
        named = ", ".join(people[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        return f"{asked} (of {named}): ask them, or to be lent it (serinus access explain {action})."

    def requirement(self, tier: int | None) -> Requirement:
        """What the policy in force asks for at a tier."""
        return requirement(self.policy(), tier)

    # --- lending -----------------------------------------------------------------

    def delegate(self, *, role: str, by: str, to: str, since: float, until: float, reason: str) -> Delegation:
        """Lend a role, and record it; a refusal is recorded too.

        Raises:
            SerinusError: ``SRN-ACCESS-006`` with the rule that stands against it.
        """
        name = f"d-{secrets.token_hex(4)}"
        given = Delegation(
            id=name, role=role, by=by, to=to, since=since, until=until, reason=reason, made=self._clock()
        )
        subject = f"{role} to {to}"
        why = lending(self.policy(), given)
        if why is not None:
            self.audit.append(actor=by, action="delegation-refused", subject=subject, reason=why)
            raise SerinusError(
                "SRN-ACCESS-006",
                f"{by} cannot lend the role {role} to {to}: {why}",
                where=f"access policy, {self.place()}",
                hint="serinus access show says who has which role, and what may be lent.",
            )
        with self.book.lend(given):
            details = msgspec.to_builtins(given)
            self.audit.append(actor=by, action="delegate", subject=subject, reason=reason, details=details)
        return given

    def take_back(self, name: str, *, by: str, reason: str) -> Delegation:
        """End a delegation now: whoever gave it may, and whoever received it.

        Raises:
            SerinusError: ``SRN-ACCESS-007`` there is no such delegation, it has ended, or it is not theirs.
        """
        found = next((d for d in self.book.delegations() if d.id == name), None)
        why = None
        if found is None:
            why = f"there is no delegation {name}"
        elif found.ended is not None or found.until <= self._clock():
            why = f"delegation {name} has ended already"
        elif by not in (found.by, found.to):
            why = f"delegation {name} is between {found.by} and {found.to}, not {by}'s to end"
        if found is None or why is not None:
            raise self._not_to_end(str(why))
        now = self._clock()
        with self.book.end(name, now) as ended:
            if not ended:  # somebody else did, after we looked
                raise self._not_to_end(f"delegation {name} has ended already")
            subject = f"{found.role} to {found.to}"
            self.audit.append(
                actor=by, action="delegation-ended", subject=subject, reason=reason, details={"id": name}
            )
        return msgspec.structs.replace(found, ended=now)

    def _not_to_end(self, why: str) -> SerinusError:
        hint = "serinus access delegations lists them."
        return SerinusError("SRN-ACCESS-007", why, where=str(self._home.root), hint=hint)

    # --- breaking the glass --------------------------------------------------------

    def justified(self, reason: str) -> None:
        """Whether a reason is one that an override may rest on.

        Raises:
            SerinusError: ``SRN-ACCESS-008`` if it is shorter than the policy asks for.
        """
        justified(self.policy().override, reason, f"access policy, {self.place()}")

    def overridden(self, model: str, version: int, *, by: str, reason: str) -> Overridden:
        """What an override by this person, now, would be."""
        now = self._clock()
        lasts = parse_duration(self.policy().override.lasts)
        return Overridden(model=model, version=version, by=by, reason=reason, at=now, until=now + lasts)


def justified(override: Override, reason: str, where: str) -> None:
    """Whether a reason is one that an override may rest on.

    Raises:
        SerinusError: ``SRN-ACCESS-008`` if it is shorter than the policy asks for.
    """
    given, least = len(reason.strip()), override.justification
    if given < least:
        raise SerinusError(
            "SRN-ACCESS-008",
            f"the justification has {given} characters, the policy asks for {least}",
            where=where,
            hint="Say what cannot wait, who was not to be reached, and what is done about it: --reason TEXT.",
        )
