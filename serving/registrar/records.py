"""One entry of the audit chain for each thing that happened, and how the chain says what it holds already. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import msgspec

ACTOR = "serinus-records"
LONG_AGO = float("-inf")
TURN = "rollout-"  # before a turn's reason, it is its action


First = tuple[str, int]
"""A first turn's reason and second."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A version that the registry has. ``unreadable``: why its record cannot be read; then it is nobody's."""

    model: str = ""
    version: int = 0
    built_by: str = ""
    unreadable: str = ""

    @property
    def subject(self) -> str:
        """As the audit log names it."""
        return f"{self.model}/{self.version}"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """An entry to be written. ``details`` hold its key: ``uid`` and ``seq`` of a turn, or ``word``."""

    actor: str
    action: str
    subject: str
    reason: str
    details: dict[str, Any]


class Place(msgspec.Struct, kw_only=True):
    """A rollout that was recorded, as far as the chain tells of it.

    Times are Unix seconds: ``created`` and ``gone`` by the API server's clock, the others by the controller's.
    ``last``: the number of its last turn, 0 for the request, -1 before it; ``at``: the latest time of a turn.
    ``first``: what its first turn is known by, None if that was missed; ``former``: those of earlier numberings, whose
    turns are none later than ``since``. ``gone``: until when it may have been there; None while nothing is known of
    its deletion.
    """

    uid: str
    namespace: str
    name: str
    subject: str
    digest: str = ""
    phase: str = ""
    created: float | None = None
    started_by: str = ""
    built_by: str = ""
    last: int = -1
    at: float = LONG_AGO
    first: First | None = None
    former: set[First] = msgspec.field(default_factory=set)
    since: float = LONG_AGO
    gone: float | None = None


class Marks:
    """What the chain holds already: each rollout with its last turn, and the words. Read off the entries themselves, so
    that nothing else has to be kept in step with them."""

    def __init__(self) -> None:
        self.words: set[str] = set()
        self._places: dict[str, Place] = {}
        self._named: defaultdict[tuple[str, str], list[Place]] = defaultdict(list)

    def place(self, uid: str) -> Place | None:
        """A rollout, None if the chain does not know it."""
        return self._places.get(uid)

    def named(self, namespace: str, name: str) -> list[Place]:
        """All rollouts that had a name, in the order in which they were recorded."""
        return list(self._named.get((namespace, name), ()))

    def there(self) -> list[Place]:
        """Rollouts of whose deletion nothing is known."""
        return [place for place in self._places.values() if place.gone is None]

    def add(self, action: str, subject: str, details: Mapping[str, Any]) -> None:
        """Take an entry of the chain into account; most are none of ours."""
        word, uid, seq = details.get("word"), details.get("uid"), details.get("seq")
        if isinstance(word, str):
            self.words.add(word)
        elif isinstance(uid, str) and isinstance(seq, int):
            self._of(uid, details, action, subject, seq)

    def _of(self, uid: str, details: Mapping[str, Any], action: str, subject: str, seq: int) -> None:
        namespace, _, name = str(details.get("rollout") or "").partition("/")
        place = self._places.get(uid)
        if place is None:
            place = self._places[uid] = Place(uid=uid, namespace=namespace, name=name, subject=subject)
            self._named[namespace, name].append(place)
        at = details.get("at")
        if details.get("deleted"):
            # Where nobody saw it go: it was there at its last turn.
            place.gone = float(at) if isinstance(at, int | float) else max(place.at, place.created or 0.0)
            return
        place.subject = subject
        place.digest = str(details.get("digest") or "")
        place.phase = str(details.get("phase") or place.phase)
        if "anew" in details:
            place.last, place.since = seq, place.at
            place.former |= {place.first} if place.first else set()
            place.first = None
            return
        place.last = max(seq, place.last)
        if isinstance(at, int | float) and seq > 0:
            place.at = max(place.at, float(at))
            if seq == 1:
                place.first = first_of(action.removeprefix(TURN), float(at))
        elif isinstance(at, int | float):
            place.created = float(at)
            place.started_by = str(details.get("started_by") or "")
            place.built_by = str(details.get("built_by") or "")


def first_of(reason: str, at: float) -> First:
    """What a first turn is known by, whether its time is known exactly or to the second."""
    return reason, math.floor(at)
