"""From a record and its entities' histories to its features: pure, and the same for every store.

``FeatureStream`` keeps histories in memory, an online store keeps them elsewhere;
both read windows here, so that they cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from serinus.contract import Contract, Feature
from serinus.errors import SerinusError
from serinus.features.history import History, aggregate
from serinus.features.plan import NIGHT_ENDS, Frame, Windowed, plan, to_micros
from serinus.features.values import (
    MISSING_WORDS,
    from_micros,
    identifier,
    label_value,
    micros,
    number,
    present,
)

_NAN = float("nan")


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
        self.columns = tuple(contract.entity(name).column for name in self.plan.entities)
        self.label = (
            self.plan.values.index(contract.label.column)
            if contract.label.column in self.plan.values
            else None
        )
        self.labelled = tuple(
            any(item.column == contract.label.column for item in self.plan.of(entity))
            for entity in self.plan.entities
        )
        self.reach = tuple(self.plan.reach(entity) for entity in self.plan.entities)
        self.retain = tuple(reach + self.lateness for reach in self.reach)
        self.horizon = max(self.reach, default=0) + self.lateness
        self._place = {name: index for index, name in enumerate(self.names)}
        position = {column: index for index, column in enumerate(self.plan.values)}
        self._windows = tuple(
            tuple(
                (
                    frame,
                    tuple(
                        (self._place[item.name], item, None if item.column is None else position[item.column])
                        for item in items
                    ),
                )
                for frame, items in _group(self.plan.of(entity))
            )
            for entity in self.plan.entities
        )

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
        found = self.own(record)
        now = event.time
        for windows, history in zip(self._windows, histories, strict=True):
            for frame, items in windows:
                if history is None:
                    for place, item, _ in items:
                        found[place] = 0.0 if item.aggregate in ("count", "sum") else None
                    continue
                low, high = history.span(now - frame.reach, now - frame.delay)
                for place, item, column in items:
                    if column is None:
                        found[place] = history.count(low, high, now)
                    else:
                        values = history.values(column, low, high, now, column == self.label)
                        found[place] = aggregate(item.aggregate, values)
        return found

    def own(self, record: Mapping[str, object]) -> list[object]:
        """As ``row``, with every windowed feature absent: what the record says by itself."""
        found: list[object] = [None] * len(self.names)
        for feature in self.plan.direct:
            found[self._place[feature.name]] = self._direct(feature, record)
        for feature in self.plan.parts:
            found[self._place[feature.name]] = _part(feature, record)
        return found

    def _direct(self, feature: Feature, record: Mapping[str, object]) -> object:
        value = present(record, feature.column)
        if value is None or (isinstance(value, str) and value.strip().lower() in MISSING_WORDS):
            return None
        if self.contract.is_categorical(feature):
            return str(value)
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


def _part(feature: Feature, record: Mapping[str, object]) -> float | None:
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
