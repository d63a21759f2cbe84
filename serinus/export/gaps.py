"""What an archive says of entries that an installation never got: which they are, when that was told, by whom it is
vouched that what follows stood so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from serinus.bundle import Keyring
from serinus.chain import ChainBroken, Gap, Gaps, Place, find_logs, gaps_log, read_gaps
from serinus.chain.checkpoint import checkpoints_path, lost_logs, read_checkpoints, vouched
from serinus.chain.standing import read_held


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Entries ``first`` to ``last`` of a log, which are not in the archive since they were not here when the next one
    came, as was ``told`` then.

    Attributes:
        log: its name below ``logs/``; it is not there if no entry of the period is.
        vouched: the first entry behind them, and before the next gap, for whose hash a signed checkpoint vouches; None
            if there is none: whoever could write the file could have written what follows anew.
    """

    log: str
    first: int
    last: int
    told: str
    vouched: int | None


def missing(log: str, gaps: Iterable[Gap], known: Iterable[Gap], signed: Iterable[int]) -> list[Missing]:
    """That of each gap.

    Args:
        log: its name in the archive.
        gaps: those to tell of; ``known``: all of the log.
        signed: the numbers of entries for which sound checkpoints vouch.
    """
    ends, numbers = sorted(gap.after for gap in known), sorted(signed)
    found: list[Missing] = []
    for gap in gaps:
        end = next((after for after in ends if after >= gap.before), None)
        by = next((n for n in numbers if n >= gap.before and (end is None or n <= end)), None)
        found.append(Missing(log=log, first=gap.after + 1, last=gap.before - 1, told=gap.time, vouched=by))
    return found


class Told(NamedTuple):
    """The gaps that were told in an installation, and how many entries their log has."""

    gaps: Gaps
    entries: int


def told_gaps(root: Path, trusted: Keyring) -> Told:
    """All gaps, their log held against its checkpoints.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` their log is broken, gone or contradicts a checkpoint; ``-004``, ``-010`` it
            cannot be read; ``-008`` a checkpoint of it is false.
    """
    log = gaps_log(root)
    for lost in lost_logs([log.parent], find_logs([log.parent]), trusted):
        raise ChainBroken.of(lost)
    gaps = read_gaps(root)
    signed = vouched(read_checkpoints(checkpoints_path(log)), trusted, log)
    entries = 0
    if log.exists() or signed:
        entries = sum(1 for _ in read_held(log, Place(), signed))
    return Told(gaps, entries)


def declares(gaps: Collection[Gap]) -> Callable[[bytes], bool]:
    """Whether an entry of the log of gaps tells of one of these."""
    decode = msgspec.json.Decoder(Gap).decode
    return lambda body: decode(body) in gaps
