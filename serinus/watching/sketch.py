"""What passed by, as counts: adds over time and over replicas, holds no row, and never grows.

``Tally`` takes rows in, in place; ``Sketch`` is its frozen, encodable form, in which adding is associative and
commutative (counts exactly, sums of values up to rounding).
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from serinus.errors import SerinusError

from .bins import Baseline, Floats, Ints

_LONG = 32  # cells beyond which a search is quicker than one comparison per edge
_PIECE = 1024  # rows counted at a time; at most 2040


class Sketch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Counts of rows under the bins of one baseline; per column in the baseline's order.

    Args:
        baseline: its digest.
        rows: rows seen; ``refused`` of them for their shape or the type of a value, which are in no column.
        counts: values in each cell.
        missing: values that were absent, ``unknown``: levels that training had not seen (not in ``missing``).
        outside: values outside of the column's bounds. Those of accepted rows are in ``counts`` too.
        sums, squares: of the values and of their squares, both taken about the baseline's mean.
        first_at, last_at: unix seconds of the first and the last row; None while empty.
    """

    baseline: str
    rows: int
    refused: int
    counts: tuple[tuple[int, ...], ...]
    missing: tuple[int, ...]
    unknown: tuple[int, ...]
    outside: tuple[int, ...]
    sums: tuple[float, ...]
    squares: tuple[float, ...]
    first_at: float | None = None
    last_at: float | None = None

    def __add__(self, other: Sketch) -> Sketch:
        """Both together.

        Raises:
            SerinusError: SRN-WATCHING-002 if they are of different baselines.
        """
        _same(self.baseline, other.baseline)
        return Sketch(
            baseline=self.baseline,
            rows=self.rows + other.rows,
            refused=self.refused + other.refused,
            counts=tuple(
                tuple(a + b for a, b in zip(x, y, strict=True))
                for x, y in zip(self.counts, other.counts, strict=True)
            ),
            missing=_added(self.missing, other.missing),
            unknown=_added(self.unknown, other.unknown),
            outside=_added(self.outside, other.outside),
            sums=tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
            squares=tuple(a + b for a, b in zip(self.squares, other.squares, strict=True)),
            first_at=min((t for t in (self.first_at, other.first_at) if t is not None), default=None),
            last_at=max((t for t in (self.last_at, other.last_at) if t is not None), default=None),
        )

    def present(self, column: int) -> int:
        """Values of the column that were there."""
        return sum(self.counts[column])

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)


def decode(data: bytes) -> Sketch:
    """A sketch from its JSON.

    Raises:
        SerinusError: SRN-WATCHING-003 if it is none.
    """
    try:
        return msgspec.json.decode(data, type=Sketch)
    except msgspec.MsgspecError as error:
        raise SerinusError(
            "SRN-WATCHING-003", str(error), hint="Discard this state; the sketch starts anew."
        ) from error


def empty(baseline: Baseline) -> Sketch:
    """A sketch of nothing: the neutral element of adding."""
    return Tally(baseline).sketch()


class Tally:
    """Takes rows in; memory is that of the counts. Not thread-safe: one per worker, and their sketches add."""

    def __init__(self, baseline: Baseline) -> None:
        self._digest = baseline.digest
        self._features = baseline.features
        self._columns = baseline.columns
        self._long = [i for i, c in enumerate(baseline.columns) if c.cells > _LONG]
        width = max((c.cells for c in baseline.columns if c.cells <= _LONG), default=1)
        self._edges = np.full((len(baseline.columns), width + 2), np.inf)
        for i, column in enumerate(baseline.columns):
            if i not in self._long:
                self._edges[i, : column.cells - 1] = column.edges
            # Present values, those not below the bounds, and those above them, are counted like edges.
            self._edges[i, -3:] = -np.inf, column.low, math.nextafter(column.high, math.inf)
        self._sizes = [c.cells for c in baseline.columns]
        self._real = np.arange(width - 1) < np.array(self._sizes)[:, None] - 1
        self._centre = np.array([c.mean for c in baseline.columns])
        self._clear()

    def _clear(self) -> None:
        size = len(self._columns)
        self._rows = self._refused = 0
        self._seen_rows = np.zeros(size, np.int64)
        self._above = np.zeros(self._edges.shape, np.int64)
        self._cells = {i: np.zeros(self._columns[i].cells, np.int64) for i in self._long}
        self._unknown = np.zeros(size, np.int64)
        self._rejected = np.zeros((3, size), np.int64)
        self._sums = np.zeros(size)
        self._squares = np.zeros(size)
        self._first: float | None = None
        self._last: float | None = None

    def add(
        self,
        rows: Floats,
        *,
        at: float | None = None,
        unknown: Ints | None = None,
        rejected: Ints | None = None,
        refused: int = 0,
    ) -> None:
        """Takes accepted rows (n, F) in, NaN missing or unknown; of the NaN, ``unknown`` (F,) are unknown levels.

        Beside them came rows that were not scored: ``rejected`` (3, F) for one value that was missing, an unknown
        level, or out of the column's range, and ``refused`` for another shape or type. ``at`` is when, in unix seconds.

        Raises:
            SerinusError: SRN-WATCHING-001 if the rows are not F wide.
        """
        if rows.ndim != 2 or rows.shape[1] != self._features:
            raise SerinusError(
                "SRN-WATCHING-001",
                f"rows of shape {rows.shape}, the baseline has {self._features} features",
                hint="Give rows of shape (n, F) in the order of the baseline.",
            )
        self._rows += len(rows) + refused
        if rejected is not None:
            self._rows += int(rejected.sum())
            self._rejected[:, : self._features] += rejected
        self._refused += refused
        if unknown is not None:
            self._unknown[: self._features] += unknown
        self._seen(at)
        if len(rows):
            self._count(rows, 0)

    def add_scores(self, scores: Floats, *, at: float | None = None) -> None:
        """Takes calibrated probabilities (k,) in, where the baseline has a score; others are ignored."""
        if scores.size and len(self._columns) > self._features:
            self._seen(at)
            self._count(scores.reshape(-1, 1), self._features)

    def _seen(self, at: float | None) -> None:
        if at is not None:
            self._first = at if self._first is None else min(self._first, at)
            self._last = at if self._last is None else max(self._last, at)

    def _count(self, rows: Floats, first: int) -> None:
        """Counts rows (n, columns), the columns from ``first`` on, a piece at a time that stays in cache."""
        for begin in range(0, len(rows), _PIECE):
            piece = rows[begin : begin + _PIECE]
            # Column by column, padded with NaN to whole words of eight.
            values = np.full((piece.shape[1], -(-len(piece) // 8) * 8), np.nan)
            values[:, : len(piece)] = piece.T
            self._seen_rows[first : first + len(values)] += len(piece)
            self._count_piece(values, slice(first, first + len(values)))

    def _count_piece(self, values: Floats, part: slice) -> None:
        mask = np.empty(values.shape, np.bool_)
        words = mask.view(np.uint64)
        # How many values reach each edge: one vectorised comparison per edge, its truths added eight to a word
        # (at most 255 words, so that no byte overflows). No branch is mispredicted, unlike in a search per value.
        for k, edge in enumerate(self._edges[part].T):
            np.greater_equal(values, edge[:, None], out=mask)
            self._above[part, k] += (
                words.sum(axis=1).view(np.uint8).reshape(-1, 8).sum(axis=1, dtype=np.int64)
            )
        for i in self._long:
            if part.start <= i < part.stop:
                present = values[i - part.start][~np.isnan(values[i - part.start])]
                cells = np.searchsorted(self._columns[i].edges, present, side="right")
                self._cells[i] += np.bincount(cells, minlength=self._columns[i].cells)
        values -= self._centre[part, None]
        values[~np.isfinite(values)] = 0.0
        self._sums[part] += values.sum(axis=1)
        self._squares[part] += np.einsum("ij,ij->i", values, values)

    def _counts(self) -> tuple[tuple[int, ...], ...]:
        reached = np.zeros((len(self._columns), self._edges.shape[1] - 1), np.int64)
        reached[:, 0] = self._above[:, -3]
        # Infinite values reach the padding too; there they count for nothing.
        reached[:, 1:-1] = np.where(self._real, self._above[:, :-3], 0)
        cells = (reached[:, :-1] - reached[:, 1:]).tolist()
        for i, long in self._cells.items():
            cells[i] = long.tolist()
        return tuple(tuple(row[:size]) for row, size in zip(cells, self._sizes, strict=True))

    def sketch(self) -> Sketch:
        """What was taken in since the start or since ``take``."""
        present, low, high = self._above[:, -3:].T
        return Sketch(
            baseline=self._digest,
            rows=self._rows,
            refused=self._refused,
            counts=self._counts(),
            missing=tuple(
                (np.maximum(self._seen_rows - present - self._unknown, 0) + self._rejected[0]).tolist()
            ),
            unknown=tuple((self._unknown + self._rejected[1]).tolist()),
            outside=tuple((present - low + high + self._rejected[2]).tolist()),
            sums=tuple(self._sums.tolist()),
            squares=tuple(self._squares.tolist()),
            first_at=self._first,
            last_at=self._last,
        )

    def take(self) -> Sketch:
        """The sketch, and starts anew: how a look closes."""
        sketch = self.sketch()
        self._clear()
        return sketch


def _added(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _same(a: str, b: str) -> None:
    if a != b:
        raise SerinusError(
            "SRN-WATCHING-002",
            f"a sketch of baseline {a} does not add to one of {b}",
            hint="Sketches and evidence belong to one model's baseline; start anew after a promotion.",
        )
