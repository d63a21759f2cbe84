"""Saying what the chain proves of a decision that stands behind a gap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from serinus.bundle import Keyring
from serinus.chain.checkpoint import checkpoints_path, read_checkpoints, vouched
from serinus.chain.gaps import Gaps, gaps_log
from serinus.chain.standing import Standing, standings
from serinus.events import Found
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
    sound. Each log is read once more, however many of them it holds.

    Raises:
        SerinusError: ``SRN-AUDIT-003`` a checkpoint contradicts the log; ``-008`` a checkpoint is false.
    """
    behind: dict[Path, set[int]] = {}
    for one in found:
        if one.gaps:
            behind.setdefault(one.log, set()).add(one.seq)
    if not behind:
        return [None] * len(found)
    trusted = Keyring.load(home.keys)
    stands = {
        log: standings(
            log, seqs, gaps.of(log), vouched(read_checkpoints(checkpoints_path(log)), trusted, log)
        )
        for log, seqs in behind.items()
    }
    return [stands[one.log][one.seq] if one.gaps else None for one in found]


def standing_lines(stands: Standing | None) -> list[str]:
    """That in words: what is broken, what is sound, and who vouches for it."""
    if stands is None:
        return ["sound up to this entry"]
    told = [f"{gap.missing}, as the archive told at {gap.time}" for gap in stands.gaps]
    return [
        f"the chain is BROKEN before this entry: {'; '.join(told)}",
        f"from entry {stands.sound_from:,} on it is sound",
        "no signed checkpoint vouches for that: whoever could write the file could have written it anew"
        if stands.vouched is None
        else f"a signed checkpoint of entry {stands.vouched:,} vouches for that",
    ]


def warn_of_gaps(home: Home, found: Sequence[Found], gaps: Gaps) -> None:
    """Say on stderr of each decision behind a gap what the chain proves. Raises as ``standings_of``."""
    for one, stands in zip(found, standings_of(home, found, gaps), strict=True):
        if stands is not None:
            told = "; ".join(standing_lines(stands))
            typer.echo(f"serinus: {one.event.id} in {one.log}: {told}", err=True)
