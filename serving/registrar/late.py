"""Rollouts and words that were recorded before the registry knew their digest, read off the chain. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from serinus.registry.following import STAGES

from .records import TURN, Record
from .words import Word

UNKNOWN = "does not know this digest"
"""What a turn's entry says of the registry then."""
CAUGHT_UP = "rollouts-caught-up"
"""The action of the entry that ends it."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that may move a stage: when (Unix seconds), of which rollout, by whom; the digest of its candidate."""

    at: float
    uid: str
    seq: int
    turn: str
    by: str
    why: str
    candidate: str


class Late(msgspec.Struct, kw_only=True):
    """What was recorded of a digest that the registry did not know. ``rollouts``: as NAMESPACE/NAME, in their order."""

    rollouts: list[str] = msgspec.field(default_factory=list)
    turns: list[Heard] = msgspec.field(default_factory=list)
    words: list[Word] = msgspec.field(default_factory=list)

    def story(self) -> list[Heard | Word]:
        """In the order in which it happened: words have whole seconds, and come first in theirs."""
        turns = [(one.at, 1, one.uid, one.seq, one) for one in self.turns]
        words = [(one.at, 0, one.reason, 0, one) for one in self.words]
        return [each[-1] for each in sorted([*turns, *words], key=lambda each: each[:4])]


class Awaited:
    """Digests whose versions have not come yet."""

    def __init__(self) -> None:
        self._late: dict[str, Late] = {}

    def digests(self) -> list[str]:
        """All of them."""
        return list(self._late)

    def late(self, digest: str) -> Late | None:
        """What was recorded of one; None if it is awaited no more, or never was."""
        return self._late.get(digest)

    def add(self, record: Record) -> None:
        """Take an entry of the chain into account; most are none of ours."""
        details = record.details
        digest = str(details.get("digest") or "")
        if record.action == CAUGHT_UP:
            self._late.pop(digest, None)
        elif isinstance(details.get("word"), str):
            counts = record.action in ("approve", "override") and "registry" not in details
            word = _word(record) if counts and digest and record.subject == digest else None
            if word is not None:
                self._of(digest, record).words.append(word)
        elif isinstance(details.get("uid"), str) and "phase" in details:
            self._turn(digest, record)

    def _turn(self, digest: str, record: Record) -> None:
        details, turn = record.details, record.action.removeprefix(TURN)
        at, seq = details.get("at"), details.get("seq")
        if not isinstance(at, int | float) or not isinstance(seq, int):
            return
        waiting = [digest] if digest and _unknown(details) else []
        waiting += [str(details["unknown_champion"])] if details.get("unknown_champion") else []
        for one in waiting:
            late = self._of(one, record)
            if turn in STAGES:
                late.turns.append(
                    Heard(
                        at=float(at),
                        uid=str(details["uid"]),
                        seq=seq,
                        turn=turn,
                        by=record.actor,
                        why=record.reason,
                        candidate=digest,
                    )
                )

    def _of(self, digest: str, record: Record) -> Late:
        late = self._late.setdefault(digest, Late())
        rollout = str(record.details.get("rollout") or "")
        if rollout not in late.rollouts:
            late.rollouts.append(rollout)
        return late


def _unknown(details: Mapping[str, Any]) -> bool:
    """Other things that the registry could not do may be said behind it."""
    return str(details.get("registry") or "").partition("; ")[0] == UNKNOWN


def _word(record: Record) -> Word | None:
    details = record.details
    try:
        at = datetime.fromisoformat(str(details.get("said"))).timestamp()
    except ValueError:  # not by our hand
        return None
    namespace, _, rollout = str(details.get("rollout") or "").partition("/")
    kind, _, name = str(details.get("object") or "").partition("/")
    return Word(
        uid=str(details["word"]),
        namespace=namespace,
        name=name,
        kind="RolloutCommand" if kind == "RolloutCommand" else "RolloutApproval",
        rollout=rollout,
        by=record.actor,
        at=at,
        role=str(details.get("role") or ""),
        reason=record.reason,
    )
