"""Features of the records of one request, from what a store held for them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from serinus.features.history import History
from serinus.features.online.port import Key, Look
from serinus.features.reading import FeatureEvent, Reader


class Enriched(msgspec.Struct, frozen=True):
    """One record's features.

    Attributes:
        values: in the contract's order; None where absent.
        unknown: its entities without any event in reach of the windows.
        late: whether it is so far behind the newest event that its windows may have lost events.
    """

    values: list[object]
    unknown: tuple[str, ...]
    late: bool


def remembered(reader: Reader, event: FeatureEvent) -> bool:
    """Whether a scored event enters the histories.

    One without an id does not, where the contract has ids: the stream brings it
    too, and the two could not be told to be one.
    """
    return event.id is not None or reader.contract.event.id is None


def assemble(
    reader: Reader,
    records: Sequence[Mapping[str, object]],
    events: Sequence[FeatureEvent],
    look: Look,
    *,
    remember: bool,
) -> Iterator[Enriched]:
    """Each record's features, as if each were a request of its own, one after the other.

    So if scored events are to be remembered, a record sees the ones before it; else none does.
    """
    names = reader.entities
    chained = _repeated(events) if remember and len(events) > 1 else frozenset[Key]()
    histories = look.histories
    now, seen = look.now, set(look.seen)
    mine: set[Key] = set()
    for record, event in zip(records, events, strict=True):
        pasts: list[History | None] = [
            None if key is None else histories.get((index, key)) for index, key in enumerate(event.keys)
        ]
        unknown = tuple(
            names[index]
            for index, key in enumerate(event.keys)
            if key is not None and not reader.known(index, event, pasts[index])
        )
        late = bool(names) and event.time < now - reader.lateness
        yield Enriched(reader.row(record, event, pasts), unknown, late)
        if not chained or not remembered(reader, event) or event.id in seen:
            continue
        now = max(now, event.arrival)
        if event.time < now - reader.horizon:
            continue
        if event.id is not None:
            seen.add(event.id)
        for index, key in enumerate(event.keys):
            if key is not None and (index, key) in chained:
                _own(reader, look, mine, (index, key)).add(event.time, event.arrival, event.values)


def _repeated(events: Sequence[FeatureEvent]) -> frozenset[Key]:
    found = Counter(
        (index, key) for event in events for index, key in enumerate(event.keys) if key is not None
    )
    return frozenset(key for key, times in found.items() if times > 1)


def _own(reader: Reader, look: Look, mine: set[Key], key: Key) -> History:
    """A history that may be written to."""
    history = look.histories.get(key)
    if history is None:
        history = History(len(reader.plan.values), reader.labelled[key[0]])
    elif look.shared and key not in mine:
        history = history.copy()
    mine.add(key)
    look.histories[key] = history
    return history
