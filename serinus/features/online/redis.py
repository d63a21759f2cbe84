"""The online store that replicas share: histories in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from serinus.contract import Contract
from serinus.features.online.layout import Layout, packed
from serinus.features.online.link import Argument, Link, Script
from serinus.features.online.port import Key, KnownLabel, Look
from serinus.features.online.scripts import ADD, LABEL, LOOK
from serinus.features.reading import FeatureEvent, Reader
from serinus.features.stream import Outcome

_LOOK, _ADD, _LABEL = Script(LOOK), Script(ADD), Script(LABEL)
_NEVER = -(1 << 62)


class RedisStore:
    """Histories in Redis, as ``layout`` lays them out. A look is one round trip, and so is an
    addition or a labelling, however many events it holds.

    Args:
        contract: declares the features.
        link: the connection.
    """

    def __init__(self, contract: Contract, link: Link) -> None:
        self.reader = Reader(contract)
        self.link = link
        self.layout = Layout(self.reader)

    async def look(self, events: Sequence[FeatureEvent]) -> Look:
        """See ``OnlineStore.look``."""
        ranges: dict[Key, tuple[int, int]] = {}
        for event in events:
            for index, key in enumerate(event.keys):
                if key is None:
                    continue
                low, high = event.time - self.reader.reach[index], event.time
                if (index, key) in ranges:
                    before = ranges[index, key]
                    low, high = min(low, before[0]), max(high, before[1])
                ranges[index, key] = low, high
        # Only a request of several records asks: they may repeat each other's past.
        ids = [event.id for event in events if event.id is not None] if len(events) > 1 else []
        keys = [self.layout.now]
        arguments: list[Argument] = [len(ranges)]
        for (index, key), (low, high) in ranges.items():
            keys.append(self.layout.key(index, key))
            arguments += [low, f"({high}"]
        keys += [self.layout.event(name) for name in ids]
        now, *found = await self.link.run(_LOOK, keys, arguments)
        histories = {
            place: history
            for place, blob in zip(ranges, found, strict=False)
            if (history := self.layout.unpack(blob, place[0])) is not None
        }
        seen = {name for name, there in zip(ids, found[len(ranges) :], strict=True) if there}
        return Look(int(now) if now else _NEVER, histories, seen, False)

    async def add(self, events: Sequence[FeatureEvent], decisions: Sequence[str] = ()) -> list[Outcome]:
        """See ``OnlineStore.add``. Each event is added whole or not at all."""
        if not self.reader.columns:
            return ["added"] * len(events)
        calls = [
            self._add(event, decisions[place] if decisions else None) for place, event in enumerate(events)
        ]
        return (
            [cast("Outcome", answer.decode()) for answer in await self.link.run_many(calls)] if calls else []
        )

    def _add(self, event: FeatureEvent, decision: str | None) -> tuple[Script, list[str], list[Argument]]:
        layout, reader = self.layout, self.reader
        name = event.id or ""
        keys = [layout.now, layout.event(name), layout.early(name), layout.decision(decision or "")]
        arguments: list[Argument] = [
            event.time,
            event.arrival,
            layout.pack(event),
            reader.horizon,
            layout.ttl,
            layout.label_at,
            reader.plan.label_delay,
            name,
            "" if decision is None else "1",
        ]
        for index, key in enumerate(event.keys):
            if key is not None:
                keys.append(layout.key(index, key))
                arguments += [f"h{index}:{key}", reader.retain[index]]
        return _ADD, keys, arguments

    async def label(self, labels: Sequence[KnownLabel]) -> list[bool]:
        """See ``OnlineStore.label``."""
        if self.reader.label is None or not labels:
            return [False] * len(labels)
        layout = self.layout
        calls: list[tuple[Script, list[str], list[Argument]]] = []
        for label in labels:
            keys = [layout.decision(label.decision or "")]
            value = packed(self.reader.label_of(label.value))
            arguments: list[Argument] = [
                label.event or "",
                value,
                label.at,
                layout.label_at,
                self.reader.plan.label_delay,
                layout.prefix,
                layout.ttl,
            ]
            calls.append((_LABEL, keys, arguments))
        return [bool(answer) for answer in await self.link.run_many(calls)]

    async def close(self) -> None:
        """Close the connection."""
        await self.link.close()
