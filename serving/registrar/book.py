"""Where records go: the registry and the audit chain of a home."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime

from serinus.access import Access, AccessPolicy
from serinus.audit import AuditLog
from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry
from serinus.registry.approvals import noted
from serinus.registry.following import ANSWERED, follow, serving
from serinus.registry.late import Missed, catch_up
from serinus.registry.policy import Approval

from .late import Awaited, Heard
from .records import Known, Marks, Record
from .seen import Turn
from .words import Word

_DAMAGED = frozenset({"SRN-REGISTRY-002", "SRN-REGISTRY-011"})
"""A record that is not there any more, or is none: trying again would find it no better."""


class HomeBook:
    """The real one. The registry's history has the time of the turn, the audit chain that of its recording.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` the chain is broken: what it holds cannot be known.
    """

    def __init__(self, home: Home, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._at: float | None = None
        self._access = Access(home, clock=clock)
        self._registry = Registry(home, clock=lambda: clock() if self._at is None else self._at)
        self._audit = self._registry.audit = AuditLog(home.audit, clock)
        self.marks, self.awaited = Marks(), Awaited()
        for entry in self._audit.entries():
            self._noted(
                Record(
                    actor=entry.actor,
                    action=entry.action,
                    subject=entry.subject,
                    reason=entry.reason,
                    details=entry.details,
                )
            )

    def policy(self) -> AccessPolicy:
        """The access policy of the home."""
        return self._access.policy()

    def version(self, digest: str) -> Known | None:
        """What a bundle is registered as."""
        try:
            found = self._registry.by_digest(digest)
        except SerinusError as problem:
            if problem.code not in _DAMAGED:
                raise
            return Known(unreadable=str(problem))
        return (
            None
            if found is None
            else Known(model=found.model, version=found.version, built_by=found.built_by)
        )

    def follow(self, turn: Turn, candidate: Known | None, champion: Known | None) -> list[str]:
        """Move the stages by the registry's rules."""
        missed: list[str] = []
        with self._when(turn.at), _told(missed):
            if turn.reason == "StepStarted" and champion is not None:
                missed += serving(self._registry, _place(champion), by=turn.actor, why=ANSWERED)
            missed += follow(
                self._registry,
                turn.reason,
                by=turn.actor,
                why=turn.message,
                candidate=None if candidate is None else _place(candidate),
                champion=None if champion is None else _place(champion),
                at=turn.at,
            )
        return missed

    def approve(self, version: Known, word: Word, policy: AccessPolicy) -> list[str]:
        """Enter an approval, and an override into its book."""
        given = Approval(
            by=word.by,
            role=word.role,
            reason=word.reason,
            time=datetime.fromtimestamp(word.at, UTC).isoformat(timespec="milliseconds"),
            override=word.role == policy.override.role,
        )
        missed: list[str] = []
        with self._when(word.at), _told(missed):
            missed += noted(
                self._registry,
                version.model,
                version.version,
                given,
                lasts=parse_duration(policy.override.lasts),
            )
        return missed

    def catch_up(self, version: Known, digest: str, turns: Sequence[Heard]) -> list[str]:
        """By the registry's rules, as one."""
        missed, passed = list[str](), list[Missed]()
        for turn in turns:
            mine = turn.candidate == digest
            if not mine and turn.turn != "StepStarted":
                # What the registry does not know, or has as another model's, takes nobody's place in it.
                other = self.version(turn.candidate)
                if other is None or other.model != version.model:
                    continue
            passed.append(Missed(turn=turn.turn, at=turn.at, by=turn.by, why=turn.why, candidate=mine))
        with _told(missed):
            missed += catch_up(self._registry, _place(version), passed)
        return missed

    def write(self, record: Record) -> None:
        """Append to the audit chain."""
        self._audit.append(
            actor=record.actor,
            action=record.action,
            subject=record.subject,
            reason=record.reason,
            details=record.details,
        )
        self._noted(record)

    def _noted(self, record: Record) -> None:
        self.marks.add(record.action, record.subject, record.details)
        self.awaited.add(record)

    @contextlib.contextmanager
    def _when(self, at: float) -> Generator[None]:
        self._at = at
        try:
            yield
        finally:
            self._at = None


@contextlib.contextmanager
def _told(missed: list[str]) -> Generator[None]:
    """What a damaged record does not allow is said with the thing itself. What may pass, a full disk or a locked file,
    is raised: that is tried again."""
    try:
        yield
    except SerinusError as problem:
        if problem.code not in _DAMAGED:
            raise
        missed.append(str(problem))
    except ValueError as problem:  # a time that is none
        missed.append(f"the registry's record cannot be read: {problem}")


def _place(known: Known) -> tuple[str, int]:
    return known.model, known.version
