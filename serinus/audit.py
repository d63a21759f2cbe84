"""Who did what, when, why, and on which digest: the log of actions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from serinus.chain import ChainWriter, read_chain, verify_chain
from serinus.errors import SerinusError


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One action. ``subject`` is what it was done to (``fraud/3``, a rollout, a digest)."""

    time: str
    actor: str
    action: str
    subject: str
    reason: str
    details: dict[str, Any] = {}


class AuditLog:
    """The audit log of an installation, in ``<directory>/audit.jsonl``.

    Commands of several processes append to it, so the file is held only for the
    moment of an append; a second writer waits its turn.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = directory / "audit.jsonl"
        self._clock = clock

    def append(
        self,
        *,
        actor: str,
        action: str,
        subject: str,
        reason: str = "",
        details: dict[str, Any] | None = None,
    ) -> Action:
        """Record an action durably.

        Raises:
            SerinusError: ``SRN-AUDIT-002`` if it cannot be written: an action
                that cannot be recorded must not be taken.
        """
        entry = Action(
            time=datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds"),
            actor=actor,
            action=action,
            subject=subject,
            reason=reason,
            details=details or {},
        )
        with _open_patiently(self.path) as writer:
            writer.append([msgspec.json.encode(entry)])
        return entry

    def entries(self) -> Iterator[Action]:
        """All actions in order, verified as they are read; none if nothing was recorded."""
        if self.path.exists():
            for entry in read_chain(self.path):
                yield msgspec.json.decode(entry.body, type=Action)

    def verify(self) -> tuple[int, str]:
        """Number of entries and the last hash. Raises ``SRN-AUDIT-003`` where the chain breaks."""
        return verify_chain(self.path) if self.path.exists() else (0, "")


def _open_patiently(path: Path, deadline: float = 10.0) -> ChainWriter:
    until = time.monotonic() + deadline
    while True:
        try:
            return ChainWriter(path)
        except SerinusError as error:
            if error.code != "SRN-AUDIT-001" or time.monotonic() > until:
                raise
            _pause()


def _pause() -> None:
    # Another process holds the log for the time of one fsync.
    import threading

    threading.Event().wait(0.005)
