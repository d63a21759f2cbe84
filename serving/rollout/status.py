"""Where a rollout stands: everything a restarted engine needs, and nothing else.

The status is written before anything is done, so that an engine killed at any
instant goes on to the same end. It round-trips through JSON unchanged.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from serinus.errors import SerinusError
from serinus.evidence import Evidence, Verdict

VERSION = 1
HISTORY = 200  # entries kept in the status; the journal keeps them all


class Phase(StrEnum):
    """Where a rollout stands, in one word."""

    PENDING = "Pending"
    STARTING = "Starting"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    AWAITING_APPROVAL = "AwaitingApproval"
    PROMOTING = "Promoting"
    PROMOTED = "Promoted"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    ABORTED = "Aborted"
    FAILED = "Failed"


ENDED = frozenset({Phase.ROLLED_BACK, Phase.ABORTED, Phase.FAILED})


class _Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Routes(_Value, frozen=True, kw_only=True):
    """Who gets live traffic: ``canary`` gets ``weight`` percent, ``stable`` the rest.

    Without a canary its route does not exist: that is what a rollback leaves. With
    ``shadow``, ``stable`` answers everything and ``canary`` gets copies of ``weight``
    percent of the requests.
    """

    stable: str
    canary: str | None = None
    weight: int = 0
    shadow: bool = False


class Condition(_Value, frozen=True, kw_only=True):
    """One fact about the rollout, in the manner of Kubernetes conditions."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    since: float


class Entry(_Value, frozen=True, kw_only=True):
    """One thing that happened, numbered so that it is told once."""

    seq: int
    at: float
    phase: str
    reason: str
    message: str
    actor: str = "rollout engine"
    weight: int = 0


class Tally(_Value, frozen=True, kw_only=True):
    """Requests answered since the rollout began, and how many of them badly.

    ``last`` holds each process's latest raw counters, so that a restarted process
    (whose counters begin again at zero) is not counted twice or backwards.
    """

    last: dict[str, tuple[float, float]] = {}
    requests: float = 0.0
    bad: float = 0.0


class RolloutStatus(_Value, frozen=True, kw_only=True):
    """See the module. Times are unix seconds."""

    version: int = VERSION
    id: str
    model: str
    champion: str  # predictor names, which routes and metrics carry
    candidate: str
    started_by: str
    started_at: float
    phase: Phase = Phase.PENDING
    phase_since: float = 0.0
    reason: str = "Created"
    message: str = ""
    step: int = -1
    step_since: float = 0.0
    step_base: float = 0.0  # candidate requests when the step began
    asked_at: float | None = None  # when approval for the next step was first asked for
    awaits: tuple[str, ...] = ()  # roles whose word is missing, as of the last look; only in AwaitingApproval
    approved_step: int = -1  # the last step whose approval was given
    desired: Routes
    verified: Routes | None = None
    verified_at: float | None = None
    decided_at: float | None = None  # when the desired routes were decided
    last_edit: str = ""  # the last change by another hand that was told, as its port names it
    pause: tuple[str, ...] = ()  # why it is paused: user, no_data, inconclusive
    ending: Phase | None = None  # what RollingBack ends as
    culprits: tuple[str, ...] = ()
    active_seconds: float = 0.0
    last_seen: float = 0.0
    last_data: float = 0.0
    cadence: float = 0.0  # seconds between the last two samples, as old as their counters
    canary_tally: Tally = Tally()
    stable_tally: Tally = Tally()
    evidence: Evidence | None = None
    verdict: Verdict | None = None
    conditions: tuple[Condition, ...] = ()
    history: tuple[Entry, ...] = ()
    seq: int = 0
    handled: tuple[str, ...] = ()  # commands already obeyed or refused
    old_stopped: bool = False  # what lost the rollout has been taken down

    @property
    def weight(self) -> int:
        """The candidate's share of live traffic as decided, in percent; a shadow has none."""
        if self.desired.canary:
            return 0 if self.desired.shadow else self.desired.weight
        return 100 if self.desired.stable == self.candidate else 0

    @property
    def share(self) -> str:
        """The same for people, and what a shadow gets copies of."""
        if self.desired.canary and self.desired.shadow:
            return f"a copy of {self.desired.weight} %"
        return f"{self.weight} %"

    @property
    def in_place(self) -> bool:
        """The live routes were read back and equal the decided ones."""
        return self.verified == self.desired

    @property
    def ended(self) -> bool:
        """Nothing is left to do, whatever is observed."""
        return (self.phase in ENDED or self.phase is Phase.PROMOTED) and self.old_stopped

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, if it was ever set."""
        return next((c for c in self.conditions if c.type == kind), None)


def encode(status: RolloutStatus) -> bytes:
    """The status as JSON."""
    return msgspec.json.encode(status)


def decode(data: bytes | str) -> RolloutStatus:
    """Read a persisted status.

    Raises:
        SerinusError: SRN-ROLLOUT-002 if it is not one, or of a newer version.
    """
    try:
        status = msgspec.json.decode(data, type=RolloutStatus)
    except msgspec.DecodeError as problem:
        raise SerinusError(
            "SRN-ROLLOUT-002",
            f"the persisted status cannot be read: {problem}",
            hint="It was written by another version or cut short; abort the rollout and start it again.",
        ) from None
    if status.version > VERSION:
        raise SerinusError(
            "SRN-ROLLOUT-002",
            f"the persisted status has version {status.version}, this engine reads up to {VERSION}",
            hint="Run the newer engine, or abort the rollout there first.",
        )
    return status
