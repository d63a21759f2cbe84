"""The access policy as it is written: people, groups, roles, and what approvals a tier asks for."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Person = Annotated[str, Meta(min_length=1, max_length=253)]
RoleName = Annotated[str, Meta(pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?|\*)$", max_length=63)]
Tier = Literal["1", "2", "3", "4", "none"]
EVERYONE = "*"
GROUP = "group:"


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A misspelt key is an error, never a silently ignored default."""


class Asked(_Strict, frozen=True, kw_only=True):
    """What must be said for a version of one tier before it may go live.

    One word in each of ``roles``, each by another person; ``people`` in all, where that is
    more. A word holds for ``expire``; left out, for ever. ``before``: a rollout waits for them
    before it gives the candidate all traffic (``promotion``), or before a single customer
    meets it (``canary``).
    """

    roles: tuple[RoleName, ...] = ()
    people: Annotated[int, Meta(ge=0, le=10)] = 0
    expire: str | None = None
    before: Literal["promotion", "canary"] = "promotion"


class Override(_Strict, frozen=True, kw_only=True):
    """Breaking the glass: one word in ``role`` stands for all that are missing, for ``lasts``.

    It does not stand for another pair of eyes: nobody overrides for their own work.
    ``justification``: the least number of characters that must be given as the reason.
    """

    role: RoleName = "breakglass"
    lasts: str = "24h"
    justification: Annotated[int, Meta(ge=1, le=2000)] = 40


class Delegating(_Strict, frozen=True, kw_only=True):
    """For how long a role may be lent at most, and which roles may not be lent at all."""

    longest: str = "30d"
    never: tuple[RoleName, ...] = ("breakglass",)


class AccessPolicy(_Strict, frozen=True, kw_only=True):
    """One installation's policy. See ``docs/access.md``.

    ``roles``: role → who has it: names, ``group:NAME``, or ``*`` for everybody. The role
    ``*`` is every role that is not named. ``permissions``: role → actions, where they
    differ from the usual ones. ``approvals``: by the version's tier; ``none`` is for a
    version of which nobody said a tier.
    """

    apiVersion: Literal["serinus.io/v1"]  # noqa: N815  the Kubernetes spelling
    kind: Literal["AccessPolicy"]
    groups: dict[str, tuple[Person, ...]] = {}
    roles: dict[RoleName, tuple[Person, ...]]
    permissions: dict[RoleName, tuple[str, ...]] = {}
    approvals: dict[Tier, Asked] = {}
    delegation: Delegating = Delegating()
    override: Override = Override()
