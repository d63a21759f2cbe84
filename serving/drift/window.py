"""The rows of one predictor between two evaluations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from serinus.contract import Contract
from serinus.model import FieldError, Levels, Vectorizer
from serinus.watching.bins import Floats
from serving.drift.payload import Table


@dataclass(frozen=True)
class Row:
    """One row as the contract reads it: its vector, or the field for which it was refused."""

    vector: Floats | None
    unknown: tuple[int, ...] = ()
    refused: str | None = None


@dataclass(frozen=True)
class Sample:
    """A closed window. ``vectors`` (n, F), NaN is missing or unknown; ``unknown`` (F,) counts
    the levels that training had not seen; ``refused`` counts refused rows by field;
    ``scores`` (k,) are the calibrated probabilities answered meanwhile."""

    vectors: Floats
    unknown: tuple[int, ...]
    refused: Mapping[str, int]
    scores: Floats

    @property
    def rows(self) -> int:
        """All rows seen, refused ones included."""
        return self.vectors.shape[0] + sum(self.refused.values())


class RowReader:
    """Encodes rows by the contract, and tells a missing value from an unknown level."""

    def __init__(self, contract: Contract, levels: Levels) -> None:
        self.vectorizer = Vectorizer(contract, levels)
        self._categorical = frozenset(self.vectorizer.categorical)

    def read(self, table: Table) -> Iterator[Row]:
        """Each row of a payload, in order; a refused value refuses its row, never the payload."""
        names = self.vectorizer.names
        in_order = table.names is None or table.names == names
        for values in table.rows:
            if in_order:
                yield self._values(values)
            else:
                yield self._mapping(dict(zip(table.names or (), values, strict=False)))
        for mapping in table.mappings:
            yield self._mapping(mapping)

    def _mapping(self, row: Mapping[str, object]) -> Row:
        try:
            vector = self.vectorizer.encode(row)
        except FieldError as error:
            return Row(None, refused=error.field if error.field in self.vectorizer.names else "other")
        return self._row(vector, [row.get(name) for name in self.vectorizer.names])

    def _values(self, values: Sequence[object]) -> Row:
        try:
            vector = self.vectorizer.encode_values(values)
        except FieldError as error:
            return Row(None, refused=error.field if error.field in self.vectorizer.names else "other")
        return self._row(vector, values)

    def _row(self, vector: Floats, values: Sequence[object]) -> Row:
        absent = np.flatnonzero(np.isnan(vector)).tolist()
        unknown = tuple(i for i in absent if i in self._categorical and not _missing(values[i]))
        return Row(vector, unknown)


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


@dataclass
class Window:
    """A window being filled. Memory is bounded by ``size`` rows and ``size`` scores."""

    size: int
    features: int
    opened: float
    vectors: list[Floats] = field(default_factory=list[Floats])
    unknown: list[int] = field(default_factory=list[int])
    refused: dict[str, int] = field(default_factory=dict[str, int])
    scores: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        self.unknown = [0] * self.features

    @property
    def rows(self) -> int:
        """Rows so far, refused ones included."""
        return len(self.vectors) + sum(self.refused.values())

    @property
    def full(self) -> bool:
        """Whether the window holds ``size`` rows."""
        return self.rows >= self.size

    def add(self, row: Row) -> None:
        """Take one row in."""
        if row.vector is None:
            self.refused[row.refused or "other"] = self.refused.get(row.refused or "other", 0) + 1
            return
        self.vectors.append(row.vector)
        for i in row.unknown:
            self.unknown[i] += 1

    def add_scores(self, scores: Sequence[float]) -> None:
        """Take answered probabilities in; those beyond ``size`` belong to rows of a later window."""
        self.scores.extend(scores[: max(0, self.size - len(self.scores))])

    def close(self) -> Sample:
        """What the window held, for evaluation."""
        vectors = np.array(self.vectors) if self.vectors else np.empty((0, self.features))
        return Sample(vectors, tuple(self.unknown), dict(self.refused), np.array(self.scores))
