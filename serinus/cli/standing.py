"""Saying what the chain proves of a decision that stands behind a gap, or in front of a break."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import typer

from serinus.bundle import Keyring
from serinus.chain.checkpoint import checkpoints_path, read_checkpoints, vouched
from serinus.chain.gaps import Gaps, gaps_log
from serinus.chain.standing import Standing, standings
from serinus.errors import SerinusError
from serinus.events import Found, Vouching
from serinus.home import Home


def places_of(home: Home) -> list[Path]:
    """Where the chained logs of an installation lie; the log of gaps, if there is one."""
    gaps = gaps_log(home.root).parent
    try:
        told = gaps.is_dir()
    except OSError:
        told = True  # whoever reads it hears why it cannot be
    return [home.audit, home.decisions, *([gaps] if told else [])]


def standings_of(home: Home, found: Sequence[Found], gaps: Gaps) -> list[Standing | None]:
    """What can be proven of each found decision, by the checkpoints beside its log; None if the chain before it is
    sound, and was not seen to be broken behind it. A log with gaps is read once more, however many of them it holds.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` a checkpoint contradicts the log; ``-008`` a checkpoint is false.
    """
    behind: dict[Path, set[int]] = {}
    for one in found:
        if one.gaps:
            behind.setdefault(one.log, set()).add(one.seq)
    trusted = _trusted(home)
    stands = {
        log: standings(
            log, seqs, gaps.of(log), vouched(read_checkpoints(checkpoints_path(log)), trusted, log)
        )
        for log, seqs in behind.items()
    }
    return [_standing(one, stands[one.log][one.seq] if one.gaps else None) for one in found]


def _standing(one: Found, stands: Standing | None) -> Standing | None:
    if one.behind is None:
        return stands
    stands = stands or Standing(gaps=(), sound_from=1, vouched=one.vouched)
    return msgspec.structs.replace(stands, behind=one.behind)


def proven(stands: Standing | None) -> bool:
    """Whether the chain proves an entry: sound up to it and, where it is broken behind it, by a checkpoint."""
    return stands is None or (not stands.gaps and stands.vouched is not None)


def _trusted(home: Home) -> Keyring:
    """Whose checkpoints count; whoever only reads a log makes no installation."""
    return Keyring.load(home.root / "keys")


def vouching_of(home: Home) -> Vouching:
    """What the checkpoints beside a log vouch for. Of false ones, or such as nobody here trusts, it is said on stderr,
    and they count for nothing."""

    def vouching(log: Path) -> Mapping[int, str]:
        try:
            kept = read_checkpoints(checkpoints_path(log))
            return vouched(kept, _trusted(home), log) if kept else {}
        except SerinusError as error:
            typer.echo(f"serinus: {error}", err=True)
            return {}

    return vouching


def standing_lines(stands: Standing | None) -> list[str]:
    """That in words: what is broken, what is sound, and who vouches for it."""
    if stands is None:
        return ["sound up to this entry"]
    broken = ""
    if stands.behind is not None:
        where = f"{stands.behind.file}, line {stands.behind.line:,}, entry {stands.behind.entry:,}"
        broken = f"BROKEN behind it: {where}: {stands.behind.what}"
        if not stands.gaps:
            return [
                f"sound up to this entry, {broken}",
                "no signed checkpoint between vouches for it: it may be this entry that was changed"
                if stands.vouched is None
                else f"a signed checkpoint of entry {stands.vouched:,}, before the break, vouches for this one",
            ]
    told = [f"{gap.missing}, as the archive told at {gap.time}" for gap in stands.gaps]
    return [
        f"the chain is BROKEN before this entry: {'; '.join(told)}",
        f"from entry {stands.sound_from:,} on it is sound",
        "no signed checkpoint vouches for that: whoever could write the file could have written it anew"
        if stands.vouched is None
        else f"a signed checkpoint of entry {stands.vouched:,} vouches for that",
        *([broken] if broken else []),
    ]


def warn_of_gaps(home: Home, found: Sequence[Found], gaps: Gaps) -> None:
    """Say on stderr of each decision behind a gap, or in front of a break, what the chain proves.

    Raises: as ``standings_of``.
    """
    for one, stands in zip(found, standings_of(home, found, gaps), strict=True):
        if stands is not None:
            told = "; ".join(standing_lines(stands))
            typer.echo(f"serinus: {one.event.id} in {one.log}: {told}", err=True)
