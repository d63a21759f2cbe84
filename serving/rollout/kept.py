"""What a home keeps of its rollouts, read without a platform: statuses and whole histories, as files."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from serinus.errors import SerinusError
from serinus.home import Home

from .status import Entry, RolloutStatus, decode

STATUS, EVENTS = "status.json", "events.jsonl"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout: where it stood last, and everything that happened, oldest first."""

    status: RolloutStatus
    history: list[Entry]


def kept(home: Home) -> list[Kept]:
    """Every rollout of the home in the order of their beginnings; none where there is no such directory."""
    found: list[Kept] = []
    for path in (home.root / "platform" / "rollouts").glob(f"*/{STATUS}"):
        # One that is being begun has no status yet.
        with contextlib.suppress(FileNotFoundError):
            found.append(Kept(status=decode(path.read_bytes()), history=entries(path.with_name(EVENTS))))
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
