"""Payloads into vectors by the contract, a batch at a time; what is bad about them told apart."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from serinus.contract import Contract
from serinus.model import FieldError, Levels, Vectorizer
from serinus.watching.bins import Floats, Ints
from serving.drift.payload import Table

MISSING, UNKNOWN, OUTSIDE = range(3)


class Batch(NamedTuple):
    """Rows of one payload.

    ``vectors`` (n, F) are the accepted rows, NaN missing or unknown; of the NaN, ``unknown`` (F,) are levels that
    training had not seen. ``rejected`` (3, F) counts rows that the contract refused for one value: missing, an unknown
    level, or outside of its range. ``refused`` rows had another shape or type, by field.
    """

    vectors: Floats
    unknown: Ints
    rejected: Ints
    refused: Mapping[str, int]
    clean: bool = False
    """Nothing is unknown, rejected or refused: told once, because most payloads are."""

    @property
    def rows(self) -> int:
        """All rows, refused ones included."""
        if self.clean:
            return len(self.vectors)
        return len(self.vectors) + int(self.rejected.sum()) + sum(self.refused.values())


class RowReader:
    """Encodes rows by the contract, and tells missing, unknown, out of range and misshapen apart."""

    def __init__(self, contract: Contract, levels: Levels) -> None:
        self.contract, self.levels = contract, levels
        self.vectorizer = Vectorizer(contract, levels)
        self._names = self.vectorizer.names
        self._known = frozenset(self._names)
        self._at = {name: i for i, name in enumerate(self._names)}
        self._categorical = self.vectorizer.categorical
        self._no_rejected, self._no_unknown = self._none(), np.zeros(len(self._names), np.int64)

    def read(self, table: Table) -> Batch:
        """The rows of one payload; a refused value refuses its row, never the payload."""
        if table.mappings:
            return self._mapped(table.mappings)
        if table.names is None or table.names == self._names:
            return self._ordered(table.rows)
        if len(table.names) == len(self._names) and self._known.issuperset(table.names):
            order = [table.names.index(name) for name in self._names]
            if all(len(row) == len(order) for row in table.rows):
                return self._ordered([[row[k] for k in order] for row in table.rows])
        return self._mapped([dict(zip(table.names, row, strict=False)) for row in table.rows])

    def _mapped(self, mappings: Sequence[Mapping[str, object]]) -> Batch:
        names, known = self._names, self._known
        rows: list[Sequence[object]] = []
        strange = 0
        for mapping in mappings:
            if known.issuperset(mapping):
                get = mapping.get
                rows.append([get(name) for name in names])
            else:
                strange += 1
        batch = self._ordered(rows)
        return _with(batch, {"other": strange}) if strange else batch

    def _ordered(self, rows: Sequence[Sequence[object]]) -> Batch:
        try:
            vectors = self.vectorizer.encode_table(rows)
        except FieldError:
            return self._one_by_one(rows)
        if not self._gaps(vectors):
            return Batch(vectors, self._no_unknown, self._no_rejected, {}, clean=True)
        return Batch(vectors, self._unknown(vectors, rows), self._none(), {})

    def _gaps(self, vectors: Floats) -> bool:
        """Whether a level is missing, or unknown, in any row."""
        if len(vectors) == 1:
            values = vectors[0].tolist()
            return any(values[i] != values[i] for i in self._categorical)
        return bool(self._categorical) and bool(np.isnan(vectors[:, self._categorical].sum()))

    def _one_by_one(self, rows: Sequence[Sequence[object]]) -> Batch:
        vectors: list[Floats] = []
        accepted: list[Sequence[object]] = []
        rejected, refused = self._none(), dict[str, int]()
        for row in rows:
            try:
                vectors.append(self.vectorizer.encode_values(row))
                accepted.append(row)
            except FieldError as error:
                kind = self._kind(error.field, row)
                if kind is None:
                    field = error.field if error.field in self._known else "other"
                    refused[field] = refused.get(field, 0) + 1
                else:
                    rejected[kind, self._at[error.field]] += 1
        matrix = np.array(vectors) if vectors else np.empty((0, len(self._names)))
        return Batch(matrix, self._unknown(matrix, accepted), rejected, refused)

    def _kind(self, field: str, row: Sequence[object]) -> int | None:
        """Which of the three a refused value is; None for what is neither: another type, another shape."""
        index = self._at.get(field)
        if index is None:
            return None
        value = row[index]
        if _missing(value):
            return MISSING
        if index in self._categorical:
            return UNKNOWN if isinstance(value, str | int) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        low, high = self.vectorizer.limits(index)
        # A whole number beyond all floats compares with them, and is not one of them.
        return OUTSIDE if not low <= value <= high or abs(value) > sys.float_info.max else None

    def _unknown(self, vectors: Floats, rows: Sequence[Sequence[object]]) -> Ints:
        unknown = np.zeros(len(self._names), np.int64)
        for i in self._categorical:
            absent = np.flatnonzero(np.isnan(vectors[:, i]))
            unknown[i] = sum(not _missing(rows[k][i]) for k in absent.tolist())
        return unknown

    def _none(self) -> Ints:
        return np.zeros((3, len(self._names)), np.int64)


def _with(batch: Batch, refused: Mapping[str, int]) -> Batch:
    added = dict(batch.refused)
    for field, count in refused.items():
        added[field] = added.get(field, 0) + count
    return Batch(batch.vectors, batch.unknown, batch.rejected, added)


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
