"""What the program tells about itself: counts by source, and what is wrong now."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from serinus.archive import Taken
from serinus.errors import SerinusError

log = logging.getLogger("serinus.archive")


RESULTS = ("kept", "duplicate", "aside", "passed", "waiting", "erased")
REFUSALS = ("busy", "disk", "gap", "gone", "large", "name", "slow")


@dataclass
class Counts:
    """Of one source, since the program began."""

    lines: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESULTS, 0))
    bytes: int = 0
    gaps: int = 0
    missing: int = 0
    lost: int = 0
    lag: int | None = None
    last: float | None = None
    problem: str = ""


class Board:
    """Counts of all sources. Several threads may call it.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[str, Counts] = {}
        self._damaged: dict[str, str] = {}
        self._refused: dict[str, int] = dict.fromkeys(REFUSALS, 0)

    def source(self, name: str) -> None:
        """A source that there is, before anything came from it."""
        with self._lock:
            self._counts.setdefault(name, Counts())

    def taken(self, source: str, name: str, taken: Taken) -> None:
        """Count what became of lines of a log, and tell of what is wrong with them."""
        with self._lock:
            counts = self._counts.setdefault(source, Counts())
            for fate in ("kept", "duplicate", "aside", "waiting", "erased"):
                counts.lines[fate] += getattr(taken, fate)
            counts.bytes += taken.bytes
            counts.gaps += taken.gaps
            counts.missing += taken.missing
            counts.last = self._clock()
        if taken.gaps:
            log.warning("%s", _missing(source, name, taken))
        if taken.aside:
            log.warning("%s", _aside(source, name, taken))

    def passed(self, source: str, lines: int) -> None:
        """Count lines of writers that are not kept here."""
        with self._lock:
            self._counts.setdefault(source, Counts()).lines["passed"] += lines

    def lost(self, source: str, where: str, messages: int) -> None:
        """Messages that are not in the topic any more, and never were read."""
        with self._lock:
            self._counts.setdefault(source, Counts()).lost += messages
        log.warning("%s", _lost(where, messages))

    def lag(self, source: str, messages: int) -> None:
        """Messages of the topic that are not kept yet."""
        with self._lock:
            self._counts.setdefault(source, Counts()).lag = messages

    def problem(self, source: str, what: str) -> None:
        """What keeps a source from being read or kept; empty once nothing does. Told when it begins."""
        with self._lock:
            counts = self._counts.setdefault(source, Counts())
            new, counts.problem = bool(what) and not counts.problem, what
        if new:
            log.error("%s: %s", source, what)

    def damaged(self, logs: Mapping[str, str]) -> None:
        """Logs that cannot be written, and why, of all that there are. Told when it begins and when it ends."""
        with self._lock:
            before, self._damaged = self._damaged, dict(logs)
        for name in logs.keys() - before.keys():
            log.error("%s", _damaged(name, logs[name]))
        for name in before.keys() - logs.keys():
            log.info("%s can be written again, and what waited for it is kept", name)

    def damages(self) -> int:
        """How many logs cannot be written."""
        with self._lock:
            return len(self._damaged)

    def refused(self, reason: str, who: str = "") -> None:
        """Count a post that was refused; one that did not come in time is told."""
        with self._lock:
            self._refused[reason] += 1
        if reason == "slow":
            log.warning("%s", _slow(who))

    def refusals(self) -> dict[str, int]:
        """How many posts were refused, by reason."""
        with self._lock:
            return dict(self._refused)

    def snapshot(self) -> dict[str, Counts]:
        """A copy of all of it."""
        with self._lock:
            return {name: replace(counts, lines=dict(counts.lines)) for name, counts in self._counts.items()}


def _missing(source: str, name: str, taken: Taken) -> SerinusError:
    return SerinusError(
        "SRN-ARCHIVE-005",
        f"{taken.missing:,} entries are missing, the first of them before entry {taken.first_gap:,}",
        where=f"{source}, {name}",
        hint="What came after is kept, and `serinus audit verify` names the place; see how they were lost.",
    )


def _aside(source: str, name: str, taken: Taken) -> SerinusError:
    return SerinusError(
        "SRN-ARCHIVE-006",
        f"{taken.aside:,} lines have no place in the log and were set aside: {taken.why}",
        where=f"{source}, {name}",
        hint="They stand below archive/aside in the home; find out who else writes there.",
    )


def _lost(where: str, messages: int) -> SerinusError:
    return SerinusError(
        "SRN-ARCHIVE-007",
        f"{messages:,} messages were removed from the topic before they were read",
        where=where,
        hint="Let the topic keep its messages for longer than the archive may stand still.",
    )


def _slow(who: str) -> SerinusError:
    return SerinusError(
        "SRN-ARCHIVE-011",
        "a body did not come in time and was given up",
        where=who,
        hint="The sender sends it again; if its network is slow, raise --read-timeout.",
    )


def _damaged(name: str, why: str) -> SerinusError:
    return SerinusError(
        "SRN-ARCHIVE-012",
        f"the log cannot be written, and its lines wait below archive/waiting: {why}",
        where=name,
        hint="Put the file right or move it away, as evidence; what waits is then kept by itself.",
    )
