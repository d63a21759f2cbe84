"""What becomes of one entry that arrives, given the chain as it stands. No I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from serinus.chain import GENESIS, Entry, NotAnEntry, decode_entry, entry_hash

Fate = Literal["kept", "duplicate", "aside"]
_FORKS = 50_000
"""How many entries that were set aside are remembered: whoever forges a chain goes on from the newest."""


class Step(msgspec.Struct, frozen=True):
    """What became of an entry.

    Attributes:
        fate: ``kept`` it is the chain's new end; ``duplicate`` the chain holds it; ``aside`` it has no place
            in it, and ``why`` says why not.
        missing: entries that should stand before it and never came; only of what is kept.
    """

    fate: Fate
    entry: Entry | None = None
    missing: int = 0
    why: str = ""


_DUPLICATE = Step("duplicate")


class Chain:
    """One writer's chain, restored from entries of which each comes at least once.

    An entry is kept if it is sound by itself and stands behind the end. If it is not the very next one, those
    between are missing for good: whoever sends in order has passed them, and to wait would keep away what is there.
    Verifying the file then names that place. An entry that contradicts what is kept never gets in.

    Args:
        seq, head: number and hash of the last entry kept.
        kept: the hash of a kept entry by its number; None if it is one that is missing.
        forks: hashes of entries that were set aside, to which others may be chained.
    """

    def __init__(
        self,
        seq: int = 0,
        head: str = GENESIS,
        *,
        kept: Callable[[int], str | None],
        forks: Iterable[str] = (),
    ) -> None:
        self.seq = seq
        self.head = head
        self._kept = kept
        self._forks = OrderedDict.fromkeys(forks)

    def take(self, line: bytes) -> Step:
        """Judge a line without its end; what is kept is the end from now on."""
        try:
            entry = read_entry(line)
        except NotAnEntry as error:
            return Step("aside", why=str(error))
        step = self._judge(entry)
        if step.fate == "kept":
            self.seq, self.head = entry.seq, entry.hash
        elif step.fate == "aside":
            self._forks[entry.hash] = None
            if len(self._forks) > _FORKS:
                self._forks.popitem(last=False)
        return step

    def follows(self, entry: Entry) -> bool:
        """Whether a sound entry is the chain's own: the very next, or one that it holds."""
        if entry.seq <= self.seq:
            return self._kept(entry.seq) == entry.hash
        return entry.seq == self.seq + 1 and entry.prev == self.head

    def _judge(self, entry: Entry) -> Step:
        if entry.seq <= self.seq:
            known = self._kept(entry.seq)
            if known == entry.hash:
                return _DUPLICATE
            if known is None:
                return Step("aside", entry, why=f"entry {entry.seq:,} comes after later ones were kept")
            return Step("aside", entry, why=f"another entry {entry.seq:,} is kept already")
        if entry.prev in self._forks:
            return Step("aside", entry, why="it follows an entry that was set aside")
        missing = entry.seq - self.seq - 1
        if missing == 0 and entry.prev != self.head:
            return Step("aside", entry, why=f"it does not follow entry {self.seq:,}, though its number does")
        return Step("kept", entry, missing=missing)


def read_entry(line: bytes) -> Entry:
    """The entry in a line, if it is sound by itself: of the one form that a writer gives it, with its own hash.

    Raises:
        NotAnEntry: it is not.
    """
    entry = decode_entry(line)
    body = bytes(entry.body)
    prev, digest = entry.prev.encode(), entry.hash.encode()
    if b"\n" in line or line != b'{"seq":%d,"prev":"%b","hash":"%b","body":%b}' % (
        entry.seq,
        prev,
        digest,
        body,
    ):
        raise NotAnEntry("it is not in the form in which entries are written")
    if entry.seq < 1 or entry_hash(prev, entry.seq, body) != digest:
        raise NotAnEntry(f"entry {entry.seq:,} was changed: its hash is not that of its content")
    return entry
