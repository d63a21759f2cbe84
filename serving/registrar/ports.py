"""What the keeper writes into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from serinus.access import AccessPolicy

from .late import Awaited, Heard
from .records import Known, Marks, Record
from .seen import Turn
from .words import Word


class Book(Protocol):
    """Registry and audit chain of a home. Every method may raise SerinusError; done again, none does anything twice."""

    marks: Marks
    awaited: Awaited

    def policy(self) -> AccessPolicy:
        """The access policy in force."""
        ...

    def version(self, digest: str) -> Known | None:
        """What a bundle is registered as; None if it is not. A record that is damaged is returned as ``unreadable``:
        raised, it would be tried for ever."""
        ...

    def follow(self, turn: Turn, candidate: Known | None, champion: Known | None) -> list[str]:
        """Move the stages to where a turn has put them; what was not followed, in words."""
        ...

    def approve(self, version: Known, word: Word, policy: AccessPolicy) -> list[str]:
        """Enter an approval, and an override into its book; what the registry could not do with it, in words."""
        ...

    def catch_up(self, version: Known, digest: str, turns: Sequence[Heard]) -> list[str]:
        """Move a version's stage to where turns of before its registration have put it; what was not followed."""
        ...

    def write(self, record: Record) -> None:
        """Write an entry durably, and mark it."""
        ...
