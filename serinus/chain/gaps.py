"""Gaps that were told when they arose: a chain that breaks just there may be read on, and stays broken.

Whoever keeps logs of elsewhere never gets some entries. What is written down of such a gap, before the entry behind it
is written, are both of its sides with their hashes, in a chained log of its own. A reader passes a break only if it is
exactly that one. The declaration says when it was known; it does not say what was missing, and not why: a log cut
short by hand before its next entry came has the same gap, which only a checkpoint of what was cut off tells apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from serinus.chain.link import Entry
from serinus.chain.segments import log_of

GapsOfLog = Mapping[tuple[int, int], "Gap"]
"""The gaps of one log by the numbers of the entries on both sides."""


class Gap(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Entries that were not here when the one behind them came, between ``after`` (0: the log begins with the gap)
    and ``before``. That they never were is not proven: who writes the gap sees the log as it stands then, and not
    what somebody took away before. A checkpoint of one of them shows it.

    Attributes:
        log: name of the live file.
        head: hash of the entry before the gap.
        hash, prev: hash of the entry behind it, and the hash to which that one is chained.
        time: when it was told, RFC 3339 in UTC.
    """

    log: str
    after: int
    head: str
    before: int
    prev: str
    hash: str
    time: str

    @property
    def missing(self) -> str:
        """Which entries are missing, for people."""
        if self.before == self.after + 2:
            return f"entry {self.after + 1:,} is missing"
        return f"entries {self.after + 1:,} to {self.before - 1:,} are missing"

    def fits(self, head: str, entry: Entry) -> bool:
        """Whether it is the one between an entry with this hash and that sound one."""
        return (self.head, self.prev, self.hash) == (head, entry.prev, entry.hash)


class Gaps:
    """The gaps that an installation told of, by log."""

    def __init__(self, gaps: Iterable[Gap] = ()) -> None:
        self._by_log: dict[str, dict[tuple[int, int], Gap]] = {}
        self.add(gaps)

    def add(self, gaps: Iterable[Gap]) -> None:
        """Those that were told after. Of two at one place the later counts."""
        for gap in gaps:
            self._by_log.setdefault(gap.log, {})[gap.after, gap.before] = gap

    def of(self, log: Path) -> GapsOfLog:
        """Those of one log."""
        return self._by_log.get(log_of(log).name, {})


def gaps_log(root: Path) -> Path:
    """Where the gaps are told, below the directory of an installation."""
    return root / "archive" / "gaps" / "gaps.jsonl"
