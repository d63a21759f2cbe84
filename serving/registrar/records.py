"""One entry of the audit chain for each thing that happened, and how the chain says what it holds already. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

ACTOR = "serinus-records"


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A version that the registry has."""

    model: str
    version: int
    built_by: str = ""

    @property
    def subject(self) -> str:
        """As the audit log names it."""
        return f"{self.model}/{self.version}"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """An entry to be written. ``details`` hold its key: ``uid`` and ``seq`` of a turn, or ``word``."""

    actor: str
    action: str
    subject: str
    reason: str
    details: dict[str, Any]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rollout is that was recorded and, as far as is known, still exists."""

    namespace: str
    name: str
    subject: str
    digest: str
    phase: str  # as of its last turn


class Marks:
    """What the chain holds already: the last turn of each rollout, and the words. Read off the entries themselves, so
    that nothing else has to be kept in step with them."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self.words: set[str] = set()
        self.open: dict[str, Place] = {}
        self.closed: set[str] = set()

    def add(self, subject: str, details: Mapping[str, Any]) -> None:
        """Take an entry of the chain into account; most are none of ours."""
        word, uid, seq = details.get("word"), details.get("uid"), details.get("seq")
        if isinstance(word, str):
            self.words.add(word)
        elif isinstance(uid, str) and isinstance(seq, int):
            self.last[uid] = max(seq, self.last.get(uid, -1))
            if details.get("deleted"):
                self.closed.add(uid)
                self.open.pop(uid, None)
            elif uid not in self.closed:
                known = self.open.get(uid)
                namespace, _, name = str(details.get("rollout") or "").partition("/")
                self.open[uid] = Place(
                    namespace=namespace,
                    name=name,
                    subject=subject,
                    digest=str(details.get("digest") or ""),
                    phase=str(details.get("phase") or (known.phase if known else "")),
                )
