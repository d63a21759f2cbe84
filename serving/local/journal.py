"""Where the embedded platform tells a rollout's history: a file, the audit log, the registry's stages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from serinus.home import Home, atomic_write
from serinus.registry import Registry
from serinus.registry.following import follow
from serving.rollout.kept import entries
from serving.rollout.status import Entry, RolloutStatus, decode, encode

from .predictors import Target

log = logging.getLogger("serinus.platform")

AUDITED = frozenset(
    {"Starting", "StepStarted", "ApprovalNeeded", "StepsCompleted", "GuardHarm", "Promoted", "RolledBack"}
    | {"Aborted", "CandidateCrashed", "CandidateNeverReady", "CandidateGone", "RoutingBroken", "NoChampion"}
    | {"PausedByUser", "Resumed", "PromotedByUser", "CommandRefused", "Inconclusive", "RoutesChanged"}
    | {"ApprovalOverridden"}
)


class LocalJournal:
    """One line per entry in ``<rollout>.events.jsonl``; the file says what has been told already."""

    def __init__(
        self, home: Home, path: Path, champion: Target, target: Target, told: Callable[[Entry], None]
    ) -> None:
        self._path = path
        self._champion = champion
        self._target = target
        self._registry = Registry(home)
        self._told = told
        self._last = last_told(path)

    async def tell(self, status: RolloutStatus, entry: Entry) -> None:
        """Tell an entry once. A crash between audit and file repeats one audit line, and loses none."""
        if entry.seq <= self._last:
            return
        self._stage(entry)
        if entry.reason in AUDITED:
            self._registry.audit.append(
                actor=entry.actor,
                action=f"rollout-{entry.reason}",
                subject=f"{status.model}/{self._target.version}",
                reason=entry.message,
                details={
                    "rollout": status.id,
                    "seq": entry.seq,
                    "at": entry.at,
                    "digest": self._target.digest,
                    "phase": entry.phase,
                    "weight": entry.weight,
                },
            )
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(entry) + b"\n")
        self._last = entry.seq
        log.info("rollout %s: %s: %s", status.id, entry.reason, entry.message)
        self._told(entry)

    def _stage(self, entry: Entry) -> None:
        missed = follow(
            self._registry,
            entry.reason,
            by=entry.actor,
            why=entry.message,
            candidate=_place(self._target),
            champion=_place(self._champion),
        )
        for problem in missed:
            # The traffic has moved already: the registry must not stop that, but it must be heard.
            log.error("the registry did not follow: %s", problem)


def _place(target: Target) -> tuple[str, int] | None:
    return (target.model, target.version) if target.registered else None


def last_told(path: Path) -> int:
    """The number of the last entry in the file, 0 if there is none."""
    return max((entry.seq for entry in entries(path)), default=0)


class FileStore:
    """The status of one rollout in one file, replaced whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def load(self) -> RolloutStatus | None:
        """The saved status, or None if nothing was saved."""
        try:
            return decode(self.path.read_bytes())
        except FileNotFoundError:
            return None

    async def save(self, status: RolloutStatus) -> None:
        """Save durably."""
        atomic_write(self.path, encode(status))
