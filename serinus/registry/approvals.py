"""The words given for a version: recorded under the access policy, read, and held against what its tier asks for."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from serinus.access import Judgement, Word, judge, written
from serinus.access.book import Overridden
from serinus.errors import SerinusError
from serinus.registry.policy import Approval, check_approval, check_judgeable
from serinus.registry.records import Version

if TYPE_CHECKING:
    from serinus.registry.store import Registry


def record(
    registry: Registry,
    model: str,
    version: int,
    *,
    by: str,
    role: str,
    reason: str,
    started_by: str | None = None,
) -> Approval:
    """Record an approval; see ``Registry.approve``."""
    current = registry.get(model, version)
    subject = f"{model}/{version}"
    access = registry.access
    action = "version.approve" if started_by is None else "rollout.approve"

    @contextmanager
    def recorded(on_behalf_of: str) -> Generator[None]:
        try:
            yield
        except SerinusError as error:
            details = {"role": role, "on_behalf_of": on_behalf_of}
            registry.audit.append(
                actor=by, action="approval-refused", subject=subject, reason=error.what, details=details
            )
            raise

    def check(on_behalf_of: str) -> None:
        with recorded(on_behalf_of):
            if written(access.policy()):
                check_judgeable(subject, built_by=current.built_by, started_by=started_by)
            check_approval(
                subject,
                built_by=current.built_by,
                started_by=started_by,
                by=by,
                reason=reason,
                on_behalf_of=on_behalf_of,
            )

    check("")
    own = {current.built_by} | ({started_by} if started_by else set())
    right = access.require(by, action, subject, role=role, own=own)
    check(right.on_behalf_of)
    override = role == access.policy().override.role
    if override:
        with recorded(right.on_behalf_of):
            access.justified(reason)
    approval = Approval(
        by=by,
        role=role,
        reason=reason,
        time=registry.now(),
        on_behalf_of=right.on_behalf_of,
        override=override,
    )
    with ExitStack() as whole:
        db = whole.enter_context(registry.transaction())
        if override:
            given = access.overridden(model, version, by=by, reason=reason)
            whole.enter_context(access.book.override(given))
        db.execute(
            "INSERT OR REPLACE INTO approvals"
            " (model, version, approver, role, reason, time, on_behalf_of, override)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (model, version, by, role, reason, approval.time, approval.on_behalf_of, int(override)),
        )
        registry.audit.append(
            actor=by,
            action="override" if override else "approve",
            subject=subject,
            reason=reason,
            details={
                "role": role,
                "digest": current.digest,
                "on_behalf_of": approval.on_behalf_of,
                "policy": access.place(),
            },
        )
    found = standing(registry, current)
    if current.stage == "validated" and found.met:
        who = " and ".join(f"{word.by} ({word.role})" for word in found.counted) or f"{by} ({role})"
        # Only from there: a rollout that began meanwhile has made it a canary, and it stays one.
        why = f"approved by {who}"
        registry.set_stage(model, version, "approved", by=by, reason=why, since="validated")
    return approval


def noted(registry: Registry, model: str, version: int, given: Approval, *, lasts: float) -> list[str]:
    """Enter an approval that was given and judged elsewhere, as on a cluster; done again, it changes nothing.

    The caller writes it into the audit log, afterwards: it has happened, whatever becomes of this. Of two words of one
    person in one role the later one stands, in whichever order they are entered; of the same time (a cluster's stamps
    are whole seconds) the one whose reason sorts last, so that the order does not matter either.

    Args:
        lasts: how long an override stands for all that are missing (s).

    Returns:
        Why it cannot be judged whether the version has all its words; empty if it can.

    Raises:
        SerinusError: ``SRN-REGISTRY-001``, ``-002``; ``SRN-ACCESS-004`` the book of overrides cannot be used.
    """
    current, at = registry.get(model, version), word(given).at
    with registry.transaction() as db:
        db.execute(
            "INSERT INTO approvals"
            " (model, version, approver, role, reason, time, on_behalf_of, override)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET reason = excluded.reason,"
            " time = excluded.time, on_behalf_of = excluded.on_behalf_of, override = excluded.override"
            " WHERE (excluded.time, excluded.reason) > (time, reason)",
            (
                *(model, version, given.by, given.role, given.reason),
                *(given.time, given.on_behalf_of, int(given.override)),
            ),
        )
    book = registry.access.book
    if given.override and not any(
        (o.model, o.version, o.by, o.at) == (model, version, given.by, at) for o in book.overrides()
    ):
        new = Overridden(
            model=model, version=version, by=given.by, reason=given.reason, at=at, until=at + lasts
        )
        with book.override(new):
            pass
    try:
        found = standing(registry, current)
    except SerinusError as problem:
        if problem.code != "SRN-ACCESS-009":
            raise
        return [str(problem)]
    if current.stage == "validated" and found.met:
        who = (
            " and ".join(f"{each.by} ({each.role})" for each in found.counted) or f"{given.by} ({given.role})"
        )
        registry.set_stage(
            model, version, "approved", by=given.by, reason=f"approved by {who}", since="validated"
        )
    return []


def read(registry: Registry, model: str, version: int) -> list[Approval]:
    """Approvals of a version, oldest first."""
    with registry.transaction() as db:
        rows = db.execute(
            "SELECT approver, role, reason, time, on_behalf_of, override FROM approvals"
            " WHERE model = ? AND version = ? ORDER BY time",
            (model, version),
        )
        return [
            Approval(
                by=row["approver"],
                role=row["role"],
                reason=row["reason"],
                time=row["time"],
                on_behalf_of=row["on_behalf_of"],
                override=bool(row["override"]),
            )
            for row in rows
        ]


def word(approval: Approval) -> Word:
    """An approval as the rules judge it."""
    at = datetime.fromisoformat(approval.time).timestamp()
    return Word(
        by=approval.by,
        role=approval.role,
        at=at,
        on_behalf_of=approval.on_behalf_of,
        override=approval.override,
    )


def standing(registry: Registry, version: Version) -> Judgement:
    """Whether a version has the words that the policy asks for at its tier, now."""
    words = [word(approval) for approval in read(registry, version.model, version.version)]
    needed = registry.access.requirement(version.tier)
    return judge(needed, words, own=(version.built_by,), now=registry.access.now())
