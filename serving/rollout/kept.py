"""What a home keeps of its rollouts, read without a platform: statuses and whole histories, as files."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import msgspec

from serinus.errors import SerinusError
from serinus.home import Home

from .status import Entry, RolloutStatus, decode

log = logging.getLogger(__name__)

STATUS, EVENTS = "status.json", "events.jsonl"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout: where it stood last, and everything that happened, oldest first."""

    status: RolloutStatus
    history: list[Entry]


def kept(home: Home) -> list[Kept]:
    """Every rollout of the home in the order of their beginnings; none where there is no such directory.

    One whose status cannot be read is told of on stderr, and hides no other.

    Raises:
        SerinusError: ``SRN-ROLLOUT-002`` if none of them can be read.
    """
    found: list[Kept] = []
    unread: SerinusError | None = None
    for path in (home.root / "platform" / "rollouts").glob(f"*/{STATUS}"):
        # One that is being begun has no status yet.
        with contextlib.suppress(FileNotFoundError):
            try:
                status = decode(path.read_bytes())
            except SerinusError as problem:
                unread = SerinusError(
                    problem.code,
                    problem.what,
                    where=str(path),
                    hint=f"Its history is in {EVENTS} beside it; move the directory away once it is not needed.",
                )
                log.warning("serinus: %s", unread)
                continue
            found.append(Kept(status=status, history=entries(path.with_name(EVENTS))))
    if unread is not None and not found:
        raise unread
    return sorted(found, key=lambda one: one.status.started_at)


def none_yet(home: Home) -> SerinusError:
    """``SRN-ROLLOUT-005``."""
    return SerinusError(
        "SRN-ROLLOUT-005",
        "there has been no rollout here",
        where=str(home.root / "platform"),
        hint="Start one: serinus rollout start CANDIDATE.",
    )


def entries(path: Path) -> list[Entry]:
    """The entries told so far; a torn last line is left out."""
    found: list[Entry] = []
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(msgspec.DecodeError):
                found.append(msgspec.json.decode(line, type=Entry))
    return found
