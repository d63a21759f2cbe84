"""What can be proven of an entry, once its log has a gap before it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from serinus.chain.gaps import Gap, GapsOfLog
from serinus.chain.read import ChainBroken, read_on
from serinus.chain.verify import Break, Place


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The chain around an entry: broken before it at ``gaps``, sound from entry ``sound_from`` to it.

    Attributes:
        vouched: the number of an entry at or behind it, on the same unbroken stretch, for whose hash a checkpoint
            vouches; None if there is none. Without one, whoever could write the file could have written all that
            follows the gap anew: its hashes are sound either way.
    """

    gaps: tuple[Gap, ...]
    sound_from: int
    vouched: int | None = None


def standing(log: Path, seq: int, known: GapsOfLog, vouched: Mapping[int, str]) -> Standing | None:
    """How an entry of a log stands; None if its chain is sound from the log's beginning.

    Args:
        known: gaps that were told.
        vouched: hashes by entry number, as sound checkpoints of that log say them.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` the log breaks before the entry at a place that was not told, an entry
            is not the one for which a checkpoint vouches, or one for which a checkpoint vouches is in a gap before
            the entry; ``-004`` it cannot be read.
    """
    place = Place(known)
    found: tuple[Gap, ...] = ()
    passed = 0
    for _ in read_on(log, place):
        if not found and len(place.gaps) > passed:
            _never_here(place, place.gaps[-1], vouched)
            passed = len(place.gaps)
        digest = vouched.get(place.seq)
        if digest is not None and digest.encode() != place.head:
            what = "its hash is not the one for which a checkpoint vouches"
            raise ChainBroken.of(Break(str(place.file), place.line, place.seq, what))
        if place.seq == seq:
            found = tuple(place.gaps)
            if not found:
                return None
        if found and len(place.gaps) > len(found):
            break
        if found and digest is not None:
            return Standing(gaps=found, sound_from=found[-1].before, vouched=place.seq)
    return Standing(gaps=found, sound_from=found[-1].before) if found else None


def _never_here(place: Place, gap: Gap, vouched: Mapping[int, str]) -> None:
    """A gap tells of entries that never came. Whoever has taken one away wants it told so: raises ``ChainBroken``."""
    removed = sorted(seq for seq in vouched if gap.after < seq < gap.before)
    if removed:
        numbers = ", ".join(f"{seq:,}" for seq in removed)
        what = f"{gap.missing}, but a checkpoint vouches for entry {numbers}: it was here, and was removed"
        raise ChainBroken.of(Break(str(place.file), place.line, gap.after + 1, what))
