"""The short way from a well-formed request to vectors; whoever takes it goes the long way when it fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.contract.words import absent
from serinus.model import Vectorizer
from serving.scorer.rows import Cells, Value

Floats = NDArray[np.float64]
Reorder = Callable[[list[list[Value]]], Sequence[Cells]]


class ColumnOrder:
    """From the order of a sender's names to the contract's.

    A sender gives the same names each time: they are compared as the bytes that
    came, and read only when they differ from the last ones.
    """

    def __init__(self) -> None:
        self._last: tuple[Vectorizer, msgspec.Raw, Reorder] | None = None

    def of(self, names: msgspec.Raw, vectorizer: Vectorizer) -> Reorder:
        """Puts the columns of rows in order. Raises ValueError unless each feature is named once."""
        if not names:
            return _as_they_are
        last = self._last
        if last is not None and last[0] is vectorizer and last[1] == names:
            return last[2]
        order = _names.decode(names)
        width = len(vectorizer.names)
        if len(order) != width or set(order) != set(vectorizer.names):
            raise ValueError("the names are not the features")
        reorder: Reorder = _as_they_are
        if order != list(vectorizer.names):
            reorder = _Permuted([order.index(name) for name in vectorizer.names])
        self._last = (vectorizer, names.copy(), reorder)
        return reorder


_names = msgspec.json.Decoder(list[str])


def _as_they_are(rows: list[list[Value]]) -> Sequence[Cells]:
    return rows


class _Permuted:
    def __init__(self, places: list[int]) -> None:
        self._width = len(places)
        self._pick: Callable[[Any], Any] = itemgetter(*places)

    def __call__(self, rows: list[list[Value]]) -> Sequence[Cells]:
        if any(len(row) != self._width for row in rows):
            raise ValueError("a row has not one value a name")
        return [self._pick(row) for row in rows] if self._width > 1 else rows


def encode_plain(
    vectorizer: Vectorizer, rows: Sequence[Cells]
) -> tuple[Floats | tuple[Floats, ...], tuple[str, ...]]:
    """Vectors of rows in the contract's order, and the feature of each unknown level.

    Raises:
        FieldError, ValueError, OverflowError: for anything that is not well; without its place.
    """
    if len(rows) != 1:
        if not rows:
            raise ValueError("there are no rows")
        table = vectorizer.encode_table(rows)
        return table, tuple(_unknown_in(vectorizer, rows, table))
    row = rows[0]
    vector = vectorizer.encode_values(row)
    if vectorizer.categorical:
        item, names = vector.item, vectorizer.names
        unknown = [names[k] for k in vectorizer.categorical if item(k) != item(k) and not absent(row[k])]
        if unknown:
            return (vector,), tuple(unknown)
    return (vector,), ()


def _unknown_in(vectorizer: Vectorizer, rows: Sequence[Cells], table: Floats) -> list[str]:
    return [
        vectorizer.names[k]
        for k in vectorizer.categorical
        for i in np.flatnonzero(np.isnan(table[:, k])).tolist()
        if not absent(rows[i][k])
    ]
