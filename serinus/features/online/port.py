"""What an online store does."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

import msgspec

from serinus.features.history import History
from serinus.features.reading import FeatureEvent, Reader
from serinus.features.stream import Outcome

Key = tuple[int, str]
"""An entity's place in the plan, and its key."""


class Look(msgspec.Struct):
    """What a store held for some events.

    Attributes:
        now: the latest arrival that the store has seen, in microseconds.
        histories: of each entity that has one; at least what the events' windows cover.
        seen: which of the events' ids the store had already.
        shared: the histories are the store's own, and to be copied before they are written to.
    """

    now: int
    histories: dict[Key, History]
    seen: set[str]
    shared: bool


class KnownLabel(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome that became known ``at`` (microseconds), of an event by its id or by
    the id of the decision about it."""

    value: object
    at: int
    event: str | None = None
    decision: str | None = None


class OnlineStore(Protocol):
    """Histories of a contract's entities. A store in this process answers at once, one
    behind a network by an awaitable that ends within its deadline.

    Every method raises ``SRN-FEATURES-008`` if the store cannot be asked.
    """

    @property
    def reader(self) -> Reader:
        """The features that the histories serve."""
        ...

    def look(self, events: Sequence[FeatureEvent]) -> Look | Awaitable[Look]:
        """What the features of these events need. Changes nothing."""
        ...

    def add(
        self, events: Sequence[FeatureEvent], decisions: Sequence[str] = ()
    ) -> list[Outcome] | Awaitable[list[Outcome]]:
        """Add events to their entities' histories, each id once.

        Args:
            decisions: the id of the decision about each event, by which its label
                may come back; empty if there are none.
        """
        ...

    def label(self, labels: Sequence[KnownLabel]) -> list[bool] | Awaitable[list[bool]]:
        """Outcomes of events; False for each that no feature reads or whose event is
        not known. One by event id waits for its event."""
        ...

    async def close(self) -> None:
        """Keep what is to be kept, and release the rest."""
        ...
