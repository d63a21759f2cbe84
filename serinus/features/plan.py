"""A contract's features, compiled once into what both engines execute."""

from __future__ import annotations

from dataclasses import dataclass

from serinus.contract import Contract, Feature
from serinus.contract.types import Aggregate
from serinus.durations import parse_duration

MICROS = 1_000_000
NIGHT_ENDS = 6
"""``is_night`` is 1 from midnight until this hour."""


@dataclass(frozen=True)
class Frame:
    """Which part of an entity's past an aggregate reads: event times, in
    microseconds, in ``[t - delay - window, t - delay)``."""

    entity: str
    window: int
    delay: int

    @property
    def reach(self) -> int:
        """How far before the event the frame begins."""
        return self.window + self.delay


@dataclass(frozen=True)
class Windowed:
    """One aggregate: a frame, what to compute and over which column (None: count)."""

    name: str
    frame: Frame
    aggregate: Aggregate
    column: str | None


@dataclass(frozen=True)
class Plan:
    """Every feature, told apart by how it is computed; ``values`` are the columns
    that histories must keep."""

    direct: tuple[Feature, ...]
    parts: tuple[Feature, ...]
    windowed: tuple[Windowed, ...]
    values: tuple[str, ...]
    label_delay: int

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The distinct frames, in order of first use."""
        return tuple(dict.fromkeys(item.frame for item in self.windowed))

    def of(self, entity: str) -> tuple[Windowed, ...]:
        """The aggregates over one entity."""
        return tuple(item for item in self.windowed if item.frame.entity == entity)

    def reach(self, entity: str) -> int:
        """How much history of an entity's events is ever read, in microseconds."""
        return max((item.frame.reach for item in self.of(entity)), default=0)

    @property
    def entities(self) -> tuple[str, ...]:
        """Entities that have aggregates, in order of first use."""
        return tuple(dict.fromkeys(item.frame.entity for item in self.windowed))


def to_micros(duration: str) -> int:
    """A duration of the contract in whole microseconds."""
    return round(parse_duration(duration) * MICROS)


def plan(contract: Contract) -> Plan:
    """Compile a checked contract."""
    direct: list[Feature] = []
    parts: list[Feature] = []
    windowed: list[Windowed] = []
    for feature in contract.features:
        if feature.aggregate is not None:
            assert feature.entity is not None  # contract.checks
            assert feature.window is not None
            frame = Frame(feature.entity, to_micros(feature.window), to_micros(feature.delay))
            windowed.append(Windowed(feature.name, frame, feature.aggregate, feature.column))
        elif feature.part is not None:
            parts.append(feature)
        else:
            direct.append(feature)
    values = tuple(dict.fromkeys(item.column for item in windowed if item.column is not None))
    return Plan(tuple(direct), tuple(parts), tuple(windowed), values, to_micros(contract.label.delay))
