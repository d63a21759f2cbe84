"""The incremental engine: the same features, one event at a time.

Replaying a file in order of arrival gives each row what the batch engine gives
it (``tests/unit/features/test_equality.py``). The engine never reads a clock: time
is what the records say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.features.history import History, absent
from serinus.features.plan import Windowed
from serinus.features.reading import FeatureEvent, Reader
from serinus.features.values import identifier, micros

Outcome = Literal["added", "duplicate", "late"]
"""What became of an event: ``late`` is older than everything that is kept."""

_EARLY_LABELS = 100_000
_SWEEP = 50_000
_NEVER = -(1 << 62)


class FeatureStream:
    """Histories of every entity of a contract, and the features read from them.

    Args:
        contract: declares the features.
        lateness: how late an event may arrive and still be read and written as
            the batch engine would (default: the contract's). History is kept for
            the longest window plus this; an event older than that is counted in
            ``dropped`` and ignored.

    Not safe for threads: one writer, or a lock around it.
    """

    def __init__(self, contract: Contract, *, lateness: str | None = None) -> None:
        self.contract = contract
        self.reader = Reader(contract, lateness)
        self.dropped = 0
        self._clear()

    def _clear(self) -> None:
        self.now = _NEVER
        """The latest arrival seen, in microseconds."""
        self._histories: list[dict[str, History]] = [{} for _ in self.reader.columns]
        # event id -> time, arrival, label as stored, keys: what a duplicate or a late label needs
        self._seen: dict[str, tuple[int, int, float, tuple[str | None, ...]]] = {}
        self._early: dict[str, tuple[object, int]] = {}
        self._since_sweep = 0

    # ---- reading

    def features(self, record: Mapping[str, object]) -> dict[str, object]:
        """Every feature of the record by name, as of the record's event time.

        Changes nothing. Categories are text, all else float; absent is None. A
        value that is not of its column's type is passed on as it is, for the
        vectorizer to refuse by name.

        Raises:
            SerinusError: ``SRN-FEATURES-005`` if the record has no usable event
                time and windows need one.
        """
        event = self.reader.event(record)
        histories = [self.history(index, key) for index, key in enumerate(event.keys)]
        return dict(zip(self.reader.names, self.reader.row(record, event, histories), strict=True))

    def history(self, index: int, key: str | None) -> History | None:
        """The past of one entity, by the entity's place in the plan; to be read only."""
        return self._histories[index].get(key) if key is not None else None

    def seen(self, event_id: str) -> bool:
        """Whether an event of that id is kept."""
        return event_id in self._seen

    @property
    def ids(self) -> int:
        """How many event ids are kept."""
        return len(self._seen)

    # ---- writing

    def update(self, record: Mapping[str, object]) -> bool:
        """Add an event to its entities' histories. False if it changed nothing:
        a duplicate of an event id, or older than everything that is kept.

        A label in the record counts as known from the label delay on.
        Raises as ``features``.
        """
        return bool(self.reader.columns) and self.add(self.reader.event(record)) == "added"

    def add(self, event: FeatureEvent) -> Outcome:
        """As ``update``, of an event that was read before."""
        reader = self.reader
        if event.id is not None and event.id in self._seen:
            return "duplicate"
        self.now = max(self.now, event.arrival)
        self._since_sweep += 1
        if self._since_sweep >= _SWEEP:
            self.sweep()
        if event.time < self.now - reader.horizon:
            self.dropped += 1
            return "late"
        for index, key in enumerate(event.keys):
            if key is None:
                continue
            history = self._histories[index].get(key)
            if history is None:
                history = History(len(event.values), reader.labelled[index])
                self._histories[index][key] = history
            history.add(event.time, event.arrival, event.values)
            history.forget(self.now - reader.retain[index])
        if event.id is not None:
            label = event.values[reader.label] if reader.label is not None else float("nan")
            self._seen[event.id] = (event.time, event.arrival, label, event.keys)
            early = self._early.pop(event.id, None)
            if early is not None:
                self._set_label(event.id, *early)
        return "added"

    def label(self, event_id: object, value: object, at: object) -> bool:
        """The outcome of an event became known at time ``at``.

        Read by windows of records from ``at`` on, never before. A later call
        corrects an earlier one. False if no feature reads labels, or the event
        is not (or no longer) known; the label of an event that has not arrived
        yet waits for it.

        Raises:
            ValueError: if ``at`` is not a timestamp.
        """
        known_at = micros(at)
        name = identifier(event_id)
        if known_at is None or name is None:
            raise ValueError(f"a label needs an event id and a time, got {event_id!r} at {at!r}")
        return self.set_label(name, value, known_at)

    def set_label(self, event_id: str, value: object, at: int) -> bool:
        """As ``label``, with ``at`` in microseconds."""
        if self.reader.label is None:
            return False
        if event_id not in self._seen:
            if len(self._early) >= _EARLY_LABELS:
                del self._early[next(iter(self._early))]
            self._early[event_id] = (value, at)
            return False
        self._set_label(event_id, value, at)
        return True

    def _set_label(self, event_id: str, value: object, at: int) -> None:
        column = self.reader.label
        assert column is not None
        time, arrival, before, keys = self._seen[event_id]
        new = self.reader.label_of(value)
        # the windows themselves wait for the label delay; only a label later than that needs its time
        at = at if at > time + self.reader.plan.label_delay else time
        for index, key in enumerate(keys):
            history = self.history(index, key)
            if history is not None:
                history.set_label(time, arrival, before, column, new, at)
        self._seen[event_id] = (time, arrival, new, keys)

    def warm(self, records: Iterable[Mapping[str, object]]) -> int:
        """Update with each record (in order of arrival); how many were new."""
        return sum(self.update(record) for record in records)

    # ---- keeping

    def names(self, index: int) -> list[str]:
        """Keys of the entities that have a past, by the entity's place in the plan."""
        return list(self._histories[index])

    def forget(self, index: int, names: Iterable[str]) -> int:
        """Drop the histories of some entities, and the ids of their events; how many there were."""
        found = [name for name in names if self._histories[index].pop(name, None) is not None]
        if found:
            gone = set(found)
            self._seen = {event: entry for event, entry in self._seen.items() if entry[3][index] not in gone}
        return len(found)

    def sweep(self) -> None:
        """Forget what no window can reach any more. ``update`` does so now and then."""
        self._since_sweep = 0
        for retain, histories in zip(self.reader.retain, self._histories, strict=True):
            oldest = self.now - retain
            for key in [key for key, history in histories.items() if not _alive(history, oldest)]:
                del histories[key]
        oldest = self.now - self.reader.horizon
        self._seen = {event: entry for event, entry in self._seen.items() if entry[0] >= oldest}

    def __len__(self) -> int:
        """Events held, summed over entities."""
        return sum(len(history.times) for histories in self._histories for history in histories.values())

    def snapshot(self) -> bytes:
        """The whole state as bytes, for ``restore`` in another process."""
        histories = {
            entity: {key: _pack(history) for key, history in of_entity.items()}
            for entity, of_entity in zip(self.reader.plan.entities, self._histories, strict=True)
        }
        state = {
            "format": 1,
            "plan": _signature(self.reader.plan.windowed),
            "now": self.now,
            "dropped": self.dropped,
            "histories": histories,
            "seen": self._seen,
            "early": {name: (str(value), at) for name, (value, at) in self._early.items()},
        }
        return msgspec.msgpack.encode(state)

    def restore(self, snapshot: bytes) -> None:
        """Replace the state by a snapshot's.

        Raises:
            SerinusError: ``SRN-FEATURES-006`` if it is damaged or was taken with
                other windowed features; the state is then as before.
        """
        try:
            state = msgspec.msgpack.decode(snapshot)
            if state["format"] != 1 or state["plan"] != _signature(self.reader.plan.windowed):
                raise ValueError("it was taken with other features")
            histories = [
                {key: _unpack(packed) for key, packed in state["histories"][entity].items()}
                for entity in self.reader.plan.entities
            ]
            seen = {event: (t, a, label, tuple(keys)) for event, (t, a, label, keys) in state["seen"].items()}
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise SerinusError(
                "SRN-FEATURES-006",
                f"the snapshot of feature histories cannot be restored ({error})",
                hint="Warm the stream from the records instead, and take a new snapshot.",
            ) from error
        self._clear()
        self.now, self.dropped, self._histories, self._seen = state["now"], state["dropped"], histories, seen
        self._early = {name: (value, at) for name, (value, at) in state["early"].items()}


def _alive(history: History, oldest: int) -> bool:
    history.forget(oldest)
    return bool(history.times) and history.times[-1] >= oldest


def _signature(windowed: tuple[Windowed, ...]) -> list[Any]:
    return [[i.name, i.frame.entity, i.frame.window, i.frame.delay, i.aggregate, i.column] for i in windowed]


def _pack(history: History) -> list[Any]:
    return [
        history.times.tobytes(),
        history.arrivals.tobytes(),
        [column.tobytes() for column in history.columns],
        None if history.label_at is None else history.label_at.tobytes(),
        [history.latest_arrival, history.latest_label],
    ]


def _unpack(packed: list[Any]) -> History:
    times, arrivals, columns, label_at, latest = packed
    history = History(len(columns), label_at is not None)
    history.times.frombytes(times)
    history.arrivals.frombytes(arrivals)
    for index, column in enumerate(columns):
        history.columns[index].frombytes(column)
        history.nulls[index] = absent(history.columns[index])
    if history.label_at is not None:
        history.label_at.frombytes(label_at)
    history.latest_arrival, history.latest_label = latest
    return history
