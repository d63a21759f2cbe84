"""Reading a log: only what verifies is given out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from serinus.chain.gaps import Gap, Gaps, gaps_log
from serinus.chain.link import Entry
from serinus.chain.segments import segments
from serinus.chain.verify import Break, Broken, Place, scan, unreadable
from serinus.errors import SerinusError


class ChainBroken(SerinusError):  # noqa: N818  what was found, by the name it is read by
    """``SRN-AUDIT-003``: file, line and entry at which a chain breaks, and how.

    Attributes:
        found: that, as it was found.
    """

    found: Break | None = None

    @classmethod
    def of(cls, found: Break) -> ChainBroken:
        """The error for a finding; one at entry 0 is of a log that is gone as a whole."""
        error = cls._told(found)
        error.found = found
        return error

    @classmethod
    def _told(cls, found: Break) -> ChainBroken:
        if not found.entry:
            return cls(
                "SRN-AUDIT-003",
                f"the log is gone: {found.what}",
                where=found.file,
                hint="Look for it where it may have been moved to, and in backups; keep the checkpoints as evidence.",
            )
        line = f"line {found.line:,}, entry {found.entry:,}: " if found.line else ""
        return cls(
            "SRN-AUDIT-003",
            f"the chain is broken: {line}{found.what}",
            where=found.file,
            hint="Keep the file as evidence and compare it with a copy; entries before that place fit each other.",
        )


def read_chain(path: Path, place: Place | None = None) -> Iterator[Entry]:
    """Entries of a log in order, through all its segments, each verified, in bounded memory.

    Args:
        place: over whose known gaps it is read on; it tells which were passed.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` (``ChainBroken``) where the chain breaks;
            ``-004``, ``-010`` the log cannot be read.
    """
    place = place or Place()
    previous, passed = "", 0
    try:
        for body in scan(path, place):
            head = place.head.decode()
            if len(place.gaps) > passed:
                passed, previous = len(place.gaps), place.gaps[-1].prev
            yield Entry(place.seq, previous or place.anchor, head, msgspec.Raw(body))
            previous = head
    except Broken as broken:
        raise ChainBroken.of(broken.found) from None


def read_bodies(path: Path) -> Iterator[bytes]:
    """Only the bodies. Raises as ``read_chain``."""
    yield from read_on(path, Place())


def read_on(log: Path, place: Place) -> Iterator[bytes]:
    """Bodies as ``read_bodies``, over the gaps that the place knows; it tells which were passed, and the number."""
    try:
        yield from scan(log, place)
    except Broken as broken:
        raise ChainBroken.of(broken.found) from None


def read_gaps(root: Path) -> Gaps:
    """The gaps that were told in an installation, their own log verified; none if nothing was told.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` that log is broken; ``-004``, ``-010`` it cannot be read.
    """
    log = gaps_log(root)
    try:
        if not log.exists() and not segments(log):
            return Gaps()
    except OSError as error:
        raise unreadable(log, error) from error
    try:
        return Gaps(msgspec.json.decode(body, type=Gap) for body in read_bodies(log))
    except msgspec.DecodeError as error:
        raise unreadable(log, OSError(0, f"an entry is no gap: {error}")) from error


def verify_chain(path: Path) -> tuple[int, str]:
    """Number of entries and the last hash of a sound log. Raises as ``read_chain``."""
    place = Place()
    try:
        for _ in scan(path, place):
            pass
    except Broken as broken:
        raise ChainBroken.of(broken.found) from None
    return place.seq, place.head.decode()
