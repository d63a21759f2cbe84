"""The incremental engine: the same features, one event at a time.

Replaying a file in order of arrival gives each row what the batch engine gives
it (``tests/unit/features/test_equality.py``). The engine never reads a clock: time
is what the records say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from serinus.contract import Contract, Feature
from serinus.errors import SerinusError
from serinus.features.history import History, absent, aggregate
from serinus.features.plan import NIGHT_ENDS, Frame, Windowed, plan, to_micros
from serinus.features.values import from_micros, identifier, label_value, micros, number, present

_NAN = float("nan")
_EARLY_LABELS = 100_000
_SWEEP = 50_000


class FeatureStream:
    """Histories of every entity of a contract, and the features read from them.

    Args:
        contract: declares the features.
        lateness: how late an event may arrive and still be read and written as
            the batch engine would. History is kept for the longest window plus
            this; an event older than that is counted in ``dropped`` and ignored.

    Not safe for threads: one writer, or a lock around it.
    """

    def __init__(self, contract: Contract, *, lateness: str = "7d") -> None:
        self.contract = contract
        self.dropped = 0
        self._plan = plan(contract)
        self._lateness = to_micros(lateness)
        self._label_column = (
            self._plan.values.index(contract.label.column)
            if contract.label.column in self._plan.values
            else None
        )
        self._label_entities = tuple(
            entity
            for entity in self._plan.entities
            if any(item.column == contract.label.column for item in self._plan.of(entity))
        )
        self._reach = max((self._plan.reach(entity) for entity in self._plan.entities), default=0)
        self._retain = {entity: self._plan.reach(entity) + self._lateness for entity in self._plan.entities}
        self._by_frame = {entity: _group(self._plan.of(entity)) for entity in self._plan.entities}
        self._position = {column: index for index, column in enumerate(self._plan.values)}
        self._clear()

    def _clear(self) -> None:
        self._now = -(1 << 62)
        self._histories: dict[str, dict[str, History]] = {entity: {} for entity in self._plan.entities}
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
        found: dict[str, object] = {}
        for feature in self._plan.direct:
            found[feature.name] = self._direct(feature, record)
        for feature in self._plan.parts:
            found[feature.name] = self._part(feature, record)
        if self._plan.windowed:
            now = self._time(record)
            for entity in self._plan.entities:
                key = identifier(present(record, self.contract.entities[entity]))
                history = self._histories[entity].get(key) if key is not None else None
                self._read(entity, history, now, found)
        return {name: found[name] for name in self.contract.feature_names}

    def _direct(self, feature: Feature, record: Mapping[str, object]) -> object:
        value = present(record, feature.column)
        if value is None:
            return None
        if self.contract.is_categorical(feature):
            return str(value)
        as_number = number(value)
        if as_number is None and isinstance(value, str):
            return value
        return as_number

    def _part(self, feature: Feature, record: Mapping[str, object]) -> float | None:
        try:
            time = micros(present(record, feature.column))
        except ValueError:
            return None
        if time is None:
            return None
        moment = from_micros(time)
        match feature.part:
            case "hour":
                return float(moment.hour)
            case "weekday":
                return float(moment.weekday())
            case "is_weekend":
                return float(moment.weekday() >= 5)
            case _:
                return float(moment.hour < NIGHT_ENDS)

    def _read(self, entity: str, history: History | None, now: int, found: dict[str, object]) -> None:
        for frame, items in self._by_frame[entity]:
            if history is None:
                for item in items:
                    found[item.name] = 0.0 if item.aggregate in ("count", "sum") else None
                continue
            low, high = history.span(now - frame.reach, now - frame.delay)
            for item in items:
                if item.column is None:
                    found[item.name] = history.count(low, high, now)
                else:
                    column = self._position[item.column]
                    values = history.values(column, low, high, now, column == self._label_column)
                    found[item.name] = aggregate(item.aggregate, values)

    def _time(self, record: Mapping[str, object]) -> int:
        time = self._moment(record, self.contract.event.time)
        if time is None:
            raise _no_time(self.contract.event.time, None)
        return time

    def _moment(self, record: Mapping[str, object], column: str | None) -> int | None:
        value = present(record, column)
        try:
            return micros(value)
        except ValueError as error:
            raise _no_time(column, value) from error

    # ---- writing

    def update(self, record: Mapping[str, object]) -> bool:
        """Add an event to its entities' histories. False if it changed nothing:
        a duplicate of an event id, or older than everything that is kept.

        A label in the record counts as known from the label delay on.
        Raises as ``features``.
        """
        if not self._plan.windowed:
            return False
        time = self._time(record)
        arrival = time
        if self.contract.event.arrival:
            arrived = self._moment(record, self.contract.event.arrival)
            arrival = time if arrived is None else max(time, arrived)
        event_id = identifier(present(record, self.contract.event.id))
        if event_id is not None and event_id in self._seen:
            return False
        self._now = max(self._now, arrival)
        self._since_sweep += 1
        if self._since_sweep >= _SWEEP:
            self.sweep()
        if time < self._now - self._reach - self._lateness:
            self.dropped += 1
            return False
        values = self._values(record)
        keys = tuple(identifier(present(record, self.contract.entities[e])) for e in self._plan.entities)
        for entity, key in zip(self._plan.entities, keys, strict=True):
            if key is None:
                continue
            history = self._histories[entity].get(key)
            if history is None:
                history = History(len(self._plan.values), entity in self._label_entities)
                self._histories[entity][key] = history
            history.add(time, arrival, values)
            history.forget(self._now - self._retain[entity])
        if event_id is not None:
            label = values[self._label_column] if self._label_column is not None else _NAN
            self._seen[event_id] = (time, arrival, label, keys)
            early = self._early.pop(event_id, None)
            if early is not None:
                self._set_label(event_id, *early)
        return True

    def _values(self, record: Mapping[str, object]) -> tuple[float, ...]:
        values: list[float] = []
        for column in self._plan.values:
            raw = present(record, column)
            if column == self.contract.label.column:
                value: float | None = label_value(raw, self.contract.label)
            else:
                value = number(raw)
            values.append(_NAN if value is None else float(value))
        return tuple(values)

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
        if self._label_column is None:
            return False
        if name not in self._seen:
            if len(self._early) >= _EARLY_LABELS:
                del self._early[next(iter(self._early))]
            self._early[name] = (value, known_at)
            return False
        self._set_label(name, value, known_at)
        return True

    def _set_label(self, event_id: str, value: object, at: int) -> None:
        assert self._label_column is not None
        time, arrival, before, keys = self._seen[event_id]
        parsed = label_value(value, self.contract.label)
        new = _NAN if parsed is None else float(parsed)
        # the windows themselves wait for the label delay; only a label later than that needs its time
        at = at if at > time + self._plan.label_delay else time
        for entity, key in zip(self._plan.entities, keys, strict=True):
            history = self._histories[entity].get(key) if key is not None else None
            if history is not None:
                history.set_label(time, arrival, before, self._label_column, new, at)
        self._seen[event_id] = (time, arrival, new, keys)

    def warm(self, records: Iterable[Mapping[str, object]]) -> int:
        """Update with each record (in order of arrival); how many were new."""
        return sum(self.update(record) for record in records)

    # ---- keeping

    def sweep(self) -> None:
        """Forget what no window can reach any more. ``update`` does so now and then."""
        self._since_sweep = 0
        for entity, histories in self._histories.items():
            oldest = self._now - self._retain[entity]
            for key in [key for key, history in histories.items() if not _alive(history, oldest)]:
                del histories[key]
        oldest = self._now - self._reach - self._lateness
        self._seen = {event: entry for event, entry in self._seen.items() if entry[0] >= oldest}

    def __len__(self) -> int:
        """Events held, summed over entities."""
        return sum(
            len(history.times) for histories in self._histories.values() for history in histories.values()
        )

    def snapshot(self) -> bytes:
        """The whole state as bytes, for ``restore`` in another process."""
        histories = {
            entity: {key: _pack(history) for key, history in of_entity.items()}
            for entity, of_entity in self._histories.items()
        }
        state = {
            "format": 1,
            "plan": _signature(self._plan.windowed),
            "now": self._now,
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
            if state["format"] != 1 or state["plan"] != _signature(self._plan.windowed):
                raise ValueError("it was taken with other features")
            histories = {
                entity: {key: _unpack(packed) for key, packed in of_entity.items()}
                for entity, of_entity in state["histories"].items()
            }
            seen = {event: (t, a, label, tuple(keys)) for event, (t, a, label, keys) in state["seen"].items()}
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise SerinusError(
                "SRN-FEATURES-006",
                f"the snapshot of feature histories cannot be restored ({error})",
                hint="Warm the stream from the records instead, and take a new snapshot.",
            ) from error
        self._clear()
        self._now, self.dropped, self._histories, self._seen = state["now"], state["dropped"], histories, seen
        self._early = {name: (value, at) for name, (value, at) in state["early"].items()}


def _no_time(column: str | None, value: object) -> SerinusError:
    return SerinusError(
        "SRN-FEATURES-005",
        f"{column} is {value!r}; the windows need a timestamp such as 2026-01-31T12:00:00",
        where=f"field {column}",
        hint="Send the time of the event in ISO 8601.",
    )


def _group(items: tuple[Windowed, ...]) -> tuple[tuple[Frame, tuple[Windowed, ...]], ...]:
    frames = dict.fromkeys(item.frame for item in items)
    return tuple((frame, tuple(item for item in items if item.frame == frame)) for frame in frames)


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
