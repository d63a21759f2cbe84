"""Reviews and what asks for them, kept in the registry; each is an entry of the audit log first."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from serinus.errors import SerinusError
from serinus.registry.records import Version
from serinus.registry.reviews import (
    Due,
    Kind,
    Outcome,
    Review,
    ReviewPolicy,
    Trigger,
    by_urgency,
    check_review,
    due_of,
    grouped,
    moment,
    trigger_due,
)
from serinus.registry.store import Registry


class ReviewBook:
    """The reviews of a registry's versions, under a policy."""

    def __init__(self, registry: Registry, policy: ReviewPolicy) -> None:
        self._registry = registry
        self.policy = policy

    def reviews(self, model: str, version: int) -> list[Review]:
        """Reviews of a version, oldest first."""
        with self._registry.transaction() as db:
            return [_review(row) for row in _of(db, "reviews", model, version)]

    def triggers(self, model: str, version: int) -> list[Trigger]:
        """What has asked for a review of a version, oldest first; answered ones too."""
        with self._registry.transaction() as db:
            return [_trigger(row) for row in _of(db, "triggers", model, version)]

    def record(
        self,
        version: Version,
        *,
        by: str,
        outcome: Outcome,
        reason: str,
        next_date: datetime | None = None,
        on_behalf_of: str = "",
    ) -> Review:
        """Record a review; it answers every trigger that is open.

        Args:
            version: what was reviewed; ``by`` whom, who must not have built it.
            outcome: fit, conditions (fit, with what ``reason`` says) or unfit (it stays due
                until it is replaced or retired).
            reason: what was looked at and found.
            next_date: of the next review; by default as late as the tier's cadence allows.
            on_behalf_of: who lent the reviewer their role; they must not have built it either.

        Raises:
            SerinusError: ``SRN-REVIEW-002`` to ``-004`` as ``check_review``.
        """
        registry = self._registry
        now = registry.now()
        next_at = check_review(
            self.policy,
            version,
            by=by,
            reason=reason,
            next_date=next_date,
            now=moment(now),
            on_behalf_of=on_behalf_of,
        )
        review = Review(
            time=now, by=by, outcome=outcome, reason=reason, next=next_at.isoformat(timespec="seconds")
        )
        with registry.transaction() as db:
            added = db.execute(
                "INSERT INTO reviews (model, version, time, by, outcome, reason, next)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (version.model, version.version, now, by, outcome, reason, review.next),
            )
            answered = db.execute(
                "UPDATE triggers SET review = ? WHERE model = ? AND version = ? AND review IS NULL",
                (added.lastrowid, version.model, version.version),
            )
            registry.audit.append(
                actor=by,
                action="review",
                subject=f"{version.model}/{version.version}",
                reason=reason,
                details={
                    "outcome": outcome,
                    "next": review.next,
                    "answers": answered.rowcount,
                    "digest": version.digest,
                    "on_behalf_of": on_behalf_of,
                },
            )
        return review

    def open(
        self,
        version: Version,
        kind: Kind,
        *,
        by: str,
        reason: str,
        cause: str = "",
        due: datetime | None = None,
    ) -> Trigger | None:
        """Ask for a review; None where the same cause asks already.

        Args:
            version: whose review; ``by`` whom it is asked for, and why (``reason``).
            kind: decides by the policy until when, unless ``due`` says so.
            cause: names what happened; by default the reason does.

        Raises:
            SerinusError: ``SRN-REVIEW-003`` no reason is given.
        """
        registry = self._registry
        if not reason.strip():
            raise SerinusError(
                "SRN-REVIEW-003",
                f"nothing is said of why {version.model}/{version.version} is to be reviewed",
                where="review policy",
                hint="Say what happened: --reason TEXT.",
            )
        now = registry.now()
        until = due or trigger_due(self.policy, kind, moment(now))
        trigger = Trigger(
            kind=kind,
            cause=cause or reason,
            time=now,
            by=by,
            reason=reason,
            due=until.isoformat(timespec="seconds"),
        )
        with registry.transaction() as db:
            added = db.execute(
                "INSERT OR IGNORE INTO triggers (model, version, kind, cause, time, by, reason, due)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (version.model, version.version, kind, trigger.cause, now, by, reason, trigger.due),
            )
            if added.rowcount == 0:
                return None
            registry.audit.append(
                actor=by,
                action="review-asked",
                subject=f"{version.model}/{version.version}",
                reason=reason,
                details={"kind": kind, "cause": trigger.cause, "due": trigger.due},
            )
        return trigger

    def due(self, models: Sequence[str] | None = None) -> list[Due]:
        """Every version in use with the date until which it is to be reviewed, the most urgent first."""
        registry = self._registry
        if models is None:
            versions = registry.every_version()
        else:
            versions = [version for name in models for version in registry.versions(name)]
        with registry.transaction() as db:
            reviews = grouped(dict(row) for row in db.execute("SELECT * FROM reviews"))
            triggers = grouped(dict(row) for row in db.execute("SELECT * FROM triggers"))
        now = moment(registry.now())
        found = [
            due_of(
                self.policy,
                version,
                map(_review, reviews.get((version.model, version.version), [])),
                map(_trigger, triggers.get((version.model, version.version), [])),
                now,
            )
            for version in versions
        ]
        return by_urgency(item for item in found if item is not None)


def _of(db: sqlite3.Connection, table: str, model: str, version: int) -> list[dict[str, Any]]:
    rows = db.execute(f"SELECT * FROM {table} WHERE model = ? AND version = ? ORDER BY id", (model, version))
    return [dict(row) for row in rows]


def _review(row: Mapping[str, Any]) -> Review:
    return Review(**{name: row[name] for name in Review.__struct_fields__})


def _trigger(row: Mapping[str, Any]) -> Trigger:
    fields = {name: row[name] for name in Trigger.__struct_fields__ if name != "closed"}
    return Trigger(**fields, closed=row["review"] is not None)
