"""From a record and its entities' histories to its features: pure, and the same for every store.

``FeatureStream`` keeps histories in memory, an online store keeps them elsewhere;
both read windows here, so that they cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from serinus.contract import Contract, Feature
from serinus.contract.types import Aggregate, TimePart
from serinus.contract.words import is_missing, level_text
from serinus.errors import SerinusError
from serinus.features.history import History, aggregate
from serinus.features.plan import MICROS, NIGHT_ENDS, Frame, Windowed, plan, to_micros
from serinus.features.values import (
    identifier,
    label_value,
    micros,
    number,
    present,
)

_NAN = float("nan")
_HOUR = 3600 * MICROS
_DAY = 24 * _HOUR
_Item = tuple[int, Aggregate, int | None, bool, float | None]
# Of microseconds since a Thursday, 1970-01-01; in whole numbers, which also hold before it.
_PARTS: dict[TimePart, Callable[[int], float]] = {
    "day": lambda time: float(time // _DAY),
    "hour": lambda time: float(time % _DAY // _HOUR),
    "weekday": lambda time: float((time // _DAY + 3) % 7),
    "is_weekend": lambda time: float((time // _DAY + 3) % 7 >= 5),
    "is_night": lambda time: float(time % _DAY < NIGHT_ENDS * _HOUR),
}


class FeatureEvent(msgspec.Struct, frozen=True, array_like=True):
    """What histories keep of a record.

    Attributes:
        id: the event id, None if it has none.
        time, arrival: microseconds since 1970 UTC; ``arrival`` is never before ``time``.
        keys: of each entity that has aggregates, in the plan's order; None where absent.
        values: of each column that aggregates read, in the plan's order; NaN where absent.
    """

    id: str | None
    time: int
    arrival: int
    keys: tuple[str | None, ...]
    values: tuple[float, ...]


class Reader:
    """A contract's features, compiled.

    Args:
        contract: declares the features.
        lateness: overrides the contract's ``event.lateness``.
    """

    def __init__(self, contract: Contract, lateness: str | None = None) -> None:
        self.contract = contract
        self.plan = plan(contract)
        self.lateness = to_micros(contract.event.lateness if lateness is None else lateness)
        self.names = contract.feature_names
        self.entities = self.plan.entities
        self.columns = tuple(contract.entity(name).column for name in self.entities)
        self.label = (
            self.plan.values.index(contract.label.column)
            if contract.label.column in self.plan.values
            else None
        )
        self.labelled = tuple(
            any(item.column == contract.label.column for item in self.plan.of(entity))
            for entity in self.entities
        )
        self.reach = tuple(self.plan.reach(entity) for entity in self.entities)
        self.retain = tuple(reach + self.lateness for reach in self.reach)
        self.horizon = max(self.reach, default=0) + self.lateness
        self._place = {name: index for index, name in enumerate(self.names)}
        position = {column: index for index, column in enumerate(self.plan.values)}
        self._windows = tuple(
            tuple(
                (frame.reach, frame.delay, tuple(self._item(item, position) for item in items))
                for frame, items in _group(self.plan.of(entity))
            )
            for entity in self.entities
        )
        # The parts of the event's own time, which is parsed anyhow.
        self._parts = tuple(
            (self._place[f.name], _PARTS[f.part or "hour"], f.column == contract.event.time, f.column)
            for f in self.plan.parts
        )

    def _item(self, item: Windowed, position: dict[str, int]) -> _Item:
        """An aggregate as ``row`` reads it."""
        column = None if item.column is None else position[item.column]
        empty = 0.0 if item.aggregate in ("count", "sum") else None
        return self._place[item.name], item.aggregate, column, column == self.label, empty

    # ---- records

    def event(self, record: Mapping[str, object]) -> FeatureEvent:
        """What histories keep of a record; without windowed features only its id.

        Raises:
            SerinusError: ``SRN-FEATURES-005`` if it has no usable event time and
                windows need one.
        """
        declared = self.contract.event
        event_id = identifier(present(record, declared.id))
        if not self.plan.windowed:
            return FeatureEvent(event_id, 0, 0, (), ())
        time = _moment(record, declared.time)
        if time is None:
            raise _no_time(declared.time, None)
        arrived = _moment(record, declared.arrival) if declared.arrival else None
        return FeatureEvent(
            event_id,
            time,
            time if arrived is None else max(time, arrived),
            tuple(identifier(record.get(column)) for column in self.columns),
            tuple(self._value(record, column) for column in self.plan.values),
        )

    def _value(self, record: Mapping[str, object], column: str) -> float:
        raw = present(record, column)
        if column == self.contract.label.column:
            value: float | None = label_value(raw, self.contract.label)
        else:
            value = number(raw)
        return _NAN if value is None else float(value)

    def label_of(self, value: object) -> float:
        """A label as histories keep it: 1, 0 or NaN."""
        parsed = label_value(value, self.contract.label)
        return _NAN if parsed is None else float(parsed)

    # ---- features

    def row(
        self, record: Mapping[str, object], event: FeatureEvent, histories: Sequence[History | None]
    ) -> list[object]:
        """Every feature in the contract's order, as of the event's time; None where absent.

        Categories are text, all else float. A value that is not of its column's
        type is passed on as it is, for the vectorizer to refuse by name.

        Args:
            histories: of each of the event's entities; None for one without any past.
        """
        now = event.time
        found = self.own(record, now if self.entities else None)
        for windows, history in zip(self._windows, histories, strict=True):
            for reach, delay, items in windows:
                if history is None:
                    for place, _, _, _, empty in items:
                        found[place] = empty
                    continue
                low, high = history.span(now - reach, now - delay)
                for place, kind, column, label, empty in items:
                    if column is None:
                        found[place] = history.count(low, high, now)
                    elif low == high:
                        found[place] = empty
                    else:
                        found[place] = aggregate(kind, history.values(column, low, high, now, label))
        return found

    def own(self, record: Mapping[str, object], time: int | None = None) -> list[object]:
        """As ``row``, with every windowed feature absent: what the record says by itself.

        Args:
            time: the record's event time, where it was read before.
        """
        found: list[object] = [None] * len(self.names)
        for feature in self.plan.direct:
            found[self._place[feature.name]] = self._direct(feature, record)
        for place, part, of_event, column in self._parts:
            moment = time if of_event and time is not None else _moment_or_none(record, column)
            found[place] = None if moment is None else part(moment)
        return found

    def _direct(self, feature: Feature, record: Mapping[str, object]) -> object:
        value = present(record, feature.column)
        if value is None or (isinstance(value, str) and is_missing(value)):
            return None
        if self.contract.is_categorical(feature):
            return level_text(value)
        as_number = number(value)
        if as_number is None and isinstance(value, str):
            return value
        return as_number

    def known(self, index: int, event: FeatureEvent, history: History | None) -> bool:
        """Whether the entity at ``index`` of the plan has an event in reach of the
        windows that had arrived by the event's time."""
        if history is None:
            return False
        low, high = history.span(event.time - self.reach[index], event.time)
        return history.count(low, high, event.time) > 0


def _group(items: tuple[Windowed, ...]) -> tuple[tuple[Frame, tuple[Windowed, ...]], ...]:
    frames = dict.fromkeys(item.frame for item in items)
    return tuple((frame, tuple(item for item in items if item.frame == frame)) for frame in frames)


def _moment_or_none(record: Mapping[str, object], column: str | None) -> int | None:
    try:
        return micros(present(record, column))
    except ValueError:
        return None


def _moment(record: Mapping[str, object], column: str | None) -> int | None:
    value = present(record, column)
    try:
        return micros(value)
    except ValueError as error:
        raise _no_time(column, value) from error


def _no_time(column: str | None, value: object) -> SerinusError:
    return SerinusError(
        "SRN-FEATURES-005",
        f"{column} is {value!r}; the windows need a timestamp such as 2026-01-31T12:00:00",
        where=f"field {column}",
        hint="Send the time of the event in ISO 8601.",
    )
