"""What may happen to a version: pure rules, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from serinus.errors import SerinusError

Stage = Literal[
    "candidate", "validated", "approved", "canary", "champion", "retired", "rejected", "rolled_back"
]
STAGES: tuple[str, ...] = get_args(Stage)

_NEXT: dict[str, frozenset[str]] = {
    "candidate": frozenset({"validated", "rejected"}),
    "validated": frozenset({"approved", "canary", "champion", "rejected", "retired"}),
    "approved": frozenset({"canary", "champion", "rejected", "retired"}),
    "canary": frozenset({"champion", "rolled_back", "approved", "validated"}),
    "champion": frozenset({"retired", "rolled_back"}),
    # What was rolled back or retired may be tried again, as a canary, never directly.
    "rolled_back": frozenset({"canary", "retired"}),
    "retired": frozenset({"canary"}),
    "rejected": frozenset(),
}


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One person's word for a version, with the reason given.

    ``on_behalf_of``: who lent them the role, empty if it is their own. ``override``: it stands for
    all words that are missing.
    """

    by: str
    role: str
    reason: str
    time: str
    on_behalf_of: str = ""
    override: bool = False


def check_stage(subject: str, now: str, to: str) -> None:
    """Whether a version may move between stages.

    Raises:
        SerinusError: ``SRN-REGISTRY-003`` with the stages that are open to it.
    """
    if to not in _NEXT.get(now, frozenset()):
        allowed = ", ".join(sorted(_NEXT.get(now, frozenset()))) or "none"
        raise SerinusError(
            "SRN-REGISTRY-003",
            f"{subject} is {now} and cannot become {to}",
            where="registry",
            hint=f"From {now} it may become: {allowed}.",
        )


def check_retirement(subject: str, stage: str, *, reason: str, live: bool) -> None:
    """Whether a version may be taken out of use.

    Raises:
        SerinusError: ``SRN-REGISTRY-007`` no reason; ``-008`` it answers customers.
    """
    if not reason.strip():
        raise SerinusError(
            "SRN-REGISTRY-007",
            f"the retirement of {subject} gives no reason",
            where="registry",
            hint="Say why it is taken out of use: --reason TEXT.",
        )
    if stage == "canary":
        raise SerinusError(
            "SRN-REGISTRY-008",
            f"{subject} is a canary: it answers customers now",
            where="registry",
            hint="End its rollout first (serinus rollout abort); it may be retired then.",
        )
    if stage == "champion" and not live:
        raise SerinusError(
            "SRN-REGISTRY-008",
            f"{subject} is the champion: it answers customers now",
            where="registry",
            hint="Promote another version, which retires this one; or, where the model as a whole is given up, "
            "stop its scorers and then give --live.",
        )


def own_part(did: Mapping[str, str], *, by: str, on_behalf_of: str = "") -> str | None:
    """What somebody who is to judge had done themselves: to follow "X cannot judge it"; None: nothing.

    Args:
        did: what each of those who had a hand in it did, such as "built it".
        by: who is to judge; on_behalf_of: who lent them the role, if anybody did.
    """
    for person in filter(None, (by, on_behalf_of)):
        if person in did:
            return (
                f", having {did[person]}"
                if person == by
                else f" in a role lent by {person}, who {did[person]}"
            )
    return None


def check_judgeable(subject: str, *, built_by: str, started_by: str | None) -> None:
    """Whether it can be said of anybody that they had no hand in it. Where a policy is in force, a word of which that
    cannot be said counts as little as one's own.

    Args:
        started_by: None where there is no rollout.

    Raises:
        SerinusError: ``SRN-APPROVAL-003`` with what nobody stated.
    """
    missing = [
        what
        for what, who in (("who built it", built_by), ("who started its rollout", started_by))
        if who is not None and not who.strip()
    ]
    if missing:
        raise SerinusError(
            "SRN-APPROVAL-003",
            f"nobody can approve {subject}: {' and '.join(missing)} is not stated, so whether whoever approves did it "
            "is not known",
            where="four-eyes policy",
            hint="Start it again and say so: serinus rollout start --built-by NAME (candidate.builtBy).",
        )


def check_approval(
    subject: str,
    *,
    built_by: str,
    started_by: str | None,
    by: str,
    reason: str,
    on_behalf_of: str = "",
) -> None:
    """Four eyes: nobody approves what they built or are rolling out, neither through somebody they lent a role to.

    Raises:
        SerinusError: ``SRN-APPROVAL-001`` own work; ``-002`` no reason given.
    """
    did = ({} if started_by is None else {started_by: "started its rollout"}) | {built_by: "built it"}
    if (part := own_part(did, by=by, on_behalf_of=on_behalf_of)) is not None:
        raise SerinusError(
            "SRN-APPROVAL-001",
            f"{by} cannot approve {subject}{part}",
            where="four-eyes policy",
            hint="Ask a second person to approve it (--as NAME).",
        )
    if not reason.strip():
        raise SerinusError(
            "SRN-APPROVAL-002",
            f"the approval of {subject} gives no reason",
            where="four-eyes policy",
            hint="Say what you looked at and why it may go live: --reason TEXT.",
        )
