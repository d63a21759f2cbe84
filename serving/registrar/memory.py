"""A book in memory: what the real one does, without a home."""

from __future__ import annotations

from collections.abc import Sequence

from serinus.access import AccessPolicy, built_in
from serinus.registry.following import STAGES

from .late import Awaited, Heard
from .records import Known, Marks, Record
from .seen import Turn
from .words import Word


class MemoryBook:
    """Versions by digest, stages by subject, and records in the order in which they were written."""

    def __init__(self, versions: dict[str, Known] | None = None, policy: AccessPolicy | None = None) -> None:
        self.versions = versions or {}
        self._policy = policy or built_in()
        self.records: list[Record] = []
        self.stages: dict[str, str] = {}
        self.approvals: dict[tuple[str, str, str], str] = {}
        self.marks, self.awaited = Marks(), Awaited()

    def policy(self) -> AccessPolicy:
        """The one given, else the built-in one."""
        return self._policy

    def version(self, digest: str) -> Known | None:
        """What a bundle is registered as."""
        return self.versions.get(digest)

    def follow(self, turn: Turn, candidate: Known | None, champion: Known | None) -> list[str]:
        """Every stage is open here."""
        stage = STAGES.get(turn.reason)
        if stage is None or candidate is None:
            return []
        was = self.stages.get(candidate.subject)
        self.stages[candidate.subject] = stage
        if champion is not None and stage == "champion":
            self.stages[champion.subject] = "retired"
        if champion is not None and stage == "rolled_back" and was == "champion":
            self.stages[champion.subject] = "champion"
        return []

    def approve(self, version: Known, word: Word, policy: AccessPolicy) -> list[str]:
        """Enter an approval."""
        self.approvals[version.subject, word.by, word.role] = word.reason
        return []

    def catch_up(self, version: Known, digest: str, turns: Sequence[Heard]) -> list[str]:
        """Where its last turn has put it."""
        for turn in turns:
            stage = STAGES[turn.turn]
            if turn.candidate == digest:
                self.stages[version.subject] = stage
            elif stage == "champion" and turn.candidate in self.versions:
                self.stages[version.subject] = "retired"
        return []

    def write(self, record: Record) -> None:
        """Append, and mark."""
        self.records.append(record)
        self.marks.add(record.action, record.subject, record.details)
        self.awaited.add(record)
