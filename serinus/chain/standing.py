"""What can be proven of entries, once their log has a gap before them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from serinus.chain.gaps import Gap, GapsOfLog
from serinus.chain.link import Entry
from serinus.chain.read import ChainBroken, read_chain
from serinus.chain.verify import Break, Broken, Place, scan


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The chain around an entry: broken before it at ``gaps``, sound from entry ``sound_from`` to it.

    Attributes:
        behind: the first break behind it, as far as that was looked for. If nobody vouches for the entry, it may be
            what was written anew: whoever changes an entry and its hash breaks the chain only behind it.
        vouched: the number of an entry at or behind it, on the same unbroken stretch, for whose hash a checkpoint
            vouches; None if there is none. Without one, whoever could write the file could have written all that
            follows the gap anew: its hashes are sound either way.
    """

    gaps: tuple[Gap, ...]
    sound_from: int
    vouched: int | None = None
    behind: Break | None = None


def standings(
    log: Path, seqs: Collection[int], known: GapsOfLog, vouched: Mapping[int, str]
) -> dict[int, Standing | None]:
    """How entries of a log stand, in one pass; None for one to which the chain is sound from the log's beginning.

    Args:
        seqs: their numbers. What stands behind the last of them counts only as far as a checkpoint is looked for:
            a break there is none of theirs.
        known: gaps that were told.
        vouched: hashes by entry number, as sound checkpoints of that log say them.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` the log breaks before one of them at a place that was not told, or does not
            hold it; an entry is not the one for which a checkpoint vouches, or one for which a checkpoint vouches is
            in a gap before one of them; ``-004`` it cannot be read.
    """
    wanted, found = set(seqs), dict[int, Standing | None]()
    waiting: list[int] = []  # on the stretch that is being read, with no checkpoint yet
    place, passed = Place(known), 0
    if not wanted:
        return found
    try:
        for _ in scan(log, place):
            if len(place.gaps) > passed:
                passed = len(place.gaps)
                waiting.clear()
                if len(found) == len(wanted):
                    break
                never_here(place, place.gaps[-1], vouched)
            digest = held(place, vouched)
            if place.seq in wanted:
                found[place.seq] = None
                if place.gaps:
                    found[place.seq] = Standing(gaps=tuple(place.gaps), sound_from=place.gaps[-1].before)
                    waiting.append(place.seq)
            if digest is not None:
                found |= {seq: _vouched(found[seq], place.seq) for seq in waiting}
                waiting.clear()
            if not waiting and len(found) == len(wanted):
                break
    except Broken as broken:
        if len(found) < len(wanted):
            raise ChainBroken.of(broken.found) from None
    if gone := wanted - found.keys():
        what = f"the log ends here, and held entry {min(gone):,} a moment ago"
        raise ChainBroken.of(Break(str(place.file), place.line, place.seq, what))
    return found


def read_held(log: Path, place: Place, vouched: Mapping[int, str]) -> Iterator[Entry]:
    """Entries as ``read_chain`` gives them, over the gaps that the place knows, held against all that sound checkpoints
    of the log say.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` the log breaks at a place that was not told; an entry is not the one for which
            a checkpoint vouches, or such a one is in a gap, or behind the log's end; ``-004``, ``-010`` it cannot be
            read.
    """
    passed = 0
    for entry in read_chain(log, place):
        if len(place.gaps) > passed:
            passed = len(place.gaps)
            never_here(place, place.gaps[-1], vouched)
        held(place, vouched)
        yield entry
    if (short := cut_short(place, vouched)) is not None:
        raise ChainBroken.of(short)


def cut_short(place: Place, vouched: Mapping[int, str]) -> Break | None:
    """At a log's end: what a checkpoint of an entry behind it tells."""
    last = max(vouched, default=0)
    if last <= place.seq:
        return None
    what = f"ends at entry {place.seq:,}, but a checkpoint vouches for entry {last:,}"
    return Break(str(place.file), place.line, place.seq, what)


def held(place: Place, vouched: Mapping[int, str]) -> str | None:
    """The hash for which a checkpoint of the entry at that place vouches; None if none does.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` the entry has another.
    """
    digest = vouched.get(place.seq)
    if digest is not None and digest.encode() != place.head:
        what = "its hash is not the one for which a checkpoint vouches"
        raise ChainBroken.of(Break(str(place.file), place.line, place.seq, what))
    return digest


def _vouched(standing: Standing | None, by: int) -> Standing | None:
    return standing and msgspec.structs.replace(standing, vouched=by)


def never_here(place: Place, gap: Gap, vouched: Mapping[int, str]) -> None:
    """A gap tells of entries that never came. Whoever has taken one away wants it told so: raises ``ChainBroken``."""
    removed = sorted(seq for seq in vouched if gap.after < seq < gap.before)
    if removed:
        numbers = ", ".join(f"{seq:,}" for seq in removed)
        what = f"{gap.missing}, but a checkpoint vouches for entry {numbers}: it was here, and was removed"
        raise ChainBroken.of(Break(str(place.file), place.line, gap.after + 1, what))
