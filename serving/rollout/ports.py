"""What the engine needs from the world, as small protocols.

Every verb may be called again with the same arguments and then changes nothing:
an engine that was killed after acting repeats its last act.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from serinus.evidence import Sample

from .status import Entry, RolloutStatus, Routes


class _Value(msgspec.Struct, frozen=True):
    pass


class Readback(_Value, frozen=True, kw_only=True):
    """What the live routes say: do they equal what was asked for?

    ``gone``: there is nothing left to route; what served was deleted. ``edit`` names the change by
    another hand that they differ by, if it is one: the same change by the same name. ``settle``:
    seconds that a proxy may take to hear of what can be read here; until then whoever lost its
    traffic may be sent requests, and whoever has just become ready may not be reached.
    """

    state: Literal["verified", "not_yet", "cannot_tell", "gone"]
    detail: str = ""
    edit: str = ""
    settle: float = 0.0


class Health(_Value, frozen=True, kw_only=True):
    """How a predictor's processes are, from their own status and not from metrics."""

    state: Literal["absent", "starting", "ready", "crashed"]
    detail: str = ""
    answering: bool = False  # takes requests at this moment


class ApprovalRecord(_Value, frozen=True, kw_only=True):
    """Who approved, in which role, when (unix seconds).

    ``on_behalf_of``: who lent them the role. ``override``: it stands for all that are missing; whoever
    records it leaves out one that is over.
    """

    by: str
    role: str
    at: float
    reason: str = ""
    on_behalf_of: str = ""
    override: bool = False


class Command(_Value, frozen=True, kw_only=True):
    """What a person asked for. ``id`` makes it obeyed once."""

    id: str
    kind: Literal["pause", "resume", "abort", "promote"]
    by: str
    at: float
    reason: str = ""


class ProviderError(Exception):
    """The metrics could not be read. That says nothing about the candidate."""


class SupersededError(Exception):
    """Another engine drives this rollout now; this one must not act any more. Raised by a store."""


class Traffic(Protocol):
    """Live routing. ``apply`` makes the routes equal; leaving out the canary removes it."""

    async def apply(self, routes: Routes) -> None:
        """Make the live routes equal to these."""
        ...

    async def read_back(self, routes: Routes) -> Readback:
        """Ask the proxy itself whether they are."""
        ...


class Predictors(Protocol):
    """The processes that answer. Starting one that runs, or stopping one that does not, is nothing."""

    async def start(self, name: str) -> None:
        """Start it, without waiting for it to be ready."""
        ...

    async def health(self, name: str) -> Health:
        """Its state now."""
        ...

    async def stop(self, name: str) -> None:
        """Let it finish what it answers, and stop it."""
        ...


class Metrics(Protocol):
    """Raw cumulative counters of both sides at one instant.

    Raises:
        ProviderError: if they cannot be read.
    """

    async def sample(self, stable: str, canary: str) -> Sample:
        """Read both predictors."""
        ...


class Approvals(Protocol):
    """Approvals recorded for this candidate; who may approve is the recorder's policy."""

    @property
    def unsure(self) -> str:
        """What of separation of duties cannot be judged for want of being stated; empty if nothing."""
        ...

    async def approvals(self) -> Sequence[ApprovalRecord]:
        """All of them, in any order."""
        ...


class Inbox(Protocol):
    """Commands from people, in the order given; handled ones may stay listed."""

    async def commands(self) -> Sequence[Command]:
        """All that may still matter."""
        ...


class Journal(Protocol):
    """Where history is told: events, audit. An entry already told (by its ``seq``) is ignored."""

    async def tell(self, status: RolloutStatus, entry: Entry) -> None:
        """Tell one entry of the history."""
        ...


class Store(Protocol):
    """Holds the status of one rollout."""

    async def load(self) -> RolloutStatus | None:
        """The status as last saved."""
        ...

    async def save(self, status: RolloutStatus) -> None:
        """Save it whole or not at all, before anything is done."""
        ...


class Clock(Protocol):
    """Time, injected."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...
