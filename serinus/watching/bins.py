"""Bins of a column, and what the reference holds in them: the yardstick of every sketch.

Number: quantile cells of the reference, in which a value that alone holds a cell's share (the zero of a
zero-inflated amount, each value of an integer column) has a cell to itself. Category: one cell per level. Binned
laws are discrete, so ties and atoms need no continuity: the evidence on them is exact for zero-inflated and integer
columns too.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.errors import SerinusError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SCORE = "model score"
"""The score's name among the columns; with a space, so that no feature can have it."""
_MOST = sys.float_info.max  # no bound, in a form that JSON has
_TAILS = (0.95, 0.99)  # upper cells of the score beside its deciles: there the decisions are taken
_TAIL_ROWS = 20  # rows that a tail cell must hold


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column's bins, and the reference in them.

    ``edges`` are the inner edges of ``len(edges) + 1`` cells; a value on an edge belongs to the cell above it. The
    codes 0, 1, 2.. of a category's levels have edges at the halves. ``counts[s][i]`` values of stratum s lie in cell
    i; without strata there is one. ``missing`` is counted apart, by stratum. ``low`` and ``high`` bound the values of
    the reference (or of the contract). ``watched`` is false where values are counted and never judged: a part of the
    time, a column without reference.
    """

    name: str
    kind: Literal["number", "category"]
    edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    missing: tuple[int, ...]
    low: float = -_MOST
    high: float = _MOST
    span: tuple[float, float] | None = None
    mean: float = 0.0
    watched: bool = True

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.edges) + 1

    @property
    def rows(self) -> int:
        """Present values in the reference, all strata together."""
        return sum(map(sum, self.counts))


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reference of a model: its features in order and, if it was built with scores, the score as last column.

    ``strata`` is the number of contexts (hours of the day, segments) that are judged apart; 1 is none.
    """

    columns: tuple[Column, ...]
    strata: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns in order."""
        return tuple(column.name for column in self.columns)

    @property
    def features(self) -> int:
        """Number of features: all columns but the score."""
        return len(self.columns) - self.scored

    @property
    def scored(self) -> bool:
        """Whether the last column is the score."""
        return bool(self.columns) and self.columns[-1].name == SCORE

    @property
    def digest(self) -> str:
        """Of everything above: sketches and evidence of another baseline are refused."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


def numeric_edges(reference: Floats, cells: int = 10) -> Floats:
    """Inner edges of about ``cells`` quantile cells of ``reference`` (n,), none missing, with atoms kept apart.

    Plain quantile cells would hide every change above an atom.
    """
    if reference.size == 0:
        return np.empty(0)
    values, counts = np.unique(reference, return_counts=True)
    atoms = values[counts >= reference.size / cells]
    rest = reference[~np.isin(reference, atoms)]
    parts = max(1, round(cells * rest.size / reference.size))
    inner = np.quantile(rest, np.linspace(0, 1, parts + 1)[1:-1]) if rest.size else np.empty(0)
    return np.unique(np.concatenate([atoms, np.nextafter(atoms, np.inf), inner]))


def _score_edges(reference: Floats, cells: int) -> Floats:
    tails = [q for q in _TAILS if (1 - q) * reference.size >= _TAIL_ROWS]
    return np.unique(np.concatenate([numeric_edges(reference, cells), np.quantile(reference, tails)]))


def build_column(
    name: str,
    values: Floats,
    *,
    levels: int = 0,
    cells: int = 10,
    strata: Ints | None = None,
    count: int = 1,
    bounds: tuple[float, float] | None = None,
    watched: bool = True,
) -> Column:
    """Bins of one column and its reference counts.

    Args:
        values: (n,), NaN is missing; codes if it is a category.
        levels: number of a category's levels; 0 for numbers.
        strata: (n,) context of each row, 0 to ``count - 1``.
        bounds: valid range, infinite where there is none; that of the reference if None.
    """
    held = ~np.isnan(values)
    present = values[held]
    context = np.zeros(values.size, np.int64) if strata is None else strata
    if levels:
        edges = np.arange(levels - 1) + 0.5
    elif name == SCORE and present.size:
        edges = _score_edges(present, cells)
    else:
        edges = numeric_edges(present, cells)
    size = edges.size + 1
    where = np.searchsorted(edges, present, side="right") + size * context[held]
    counts = np.bincount(where, minlength=size * count).reshape(count, size)
    missing = np.bincount(context[~held], minlength=count)
    if levels:
        low, high = -0.5, levels - 0.5
    else:
        low, high = (
            bounds or (float(present.min()), float(present.max())) if present.size else (-_MOST, _MOST)
        )
        low, high = max(low, -_MOST), min(high, _MOST)
    return Column(
        name=name,
        kind="category" if levels else "number",
        edges=tuple(edges.tolist()),
        counts=tuple(map(tuple, counts.tolist())),
        missing=tuple(missing.tolist()),
        low=low,
        high=high,
        span=(float(present.min()), float(present.max())) if present.size and not levels else None,
        mean=float(present.mean()) if present.size else 0.0,
        watched=watched and present.size > 0,
    )


def build_baseline(
    names: Sequence[str],
    rows: Floats,
    scores: Floats | None = None,
    *,
    levels: Mapping[str, int] | None = None,
    unwatched: Sequence[str] = (),
    bounds: Mapping[str, tuple[float, float]] | None = None,
    cells: int = 10,
    strata: Ints | None = None,
) -> Baseline:
    """The baseline of reference rows (n, F), encoded as the model is fed, NaN missing, and their scores (n,).

    Args:
        levels: number of levels of each categorical feature.
        unwatched: features that are counted and never judged: parts of the time.
        bounds: valid range of a feature (both ends inclusive); that of the reference if absent.
        strata: (n,) context of each row, from 0: hours of the day, segments.

    Raises:
        SerinusError: SRN-WATCHING-001 if rows, names, scores and strata do not fit together.
    """
    if rows.ndim != 2 or rows.shape[1] != len(names) or (scores is not None and scores.size != len(rows)):
        raise SerinusError(
            "SRN-WATCHING-001",
            f"{len(names)} names, rows of shape {rows.shape}, {'no' if scores is None else scores.size} scores",
            hint="Give one name per column of rows and one score per row.",
        )
    count = int(strata.max()) + 1 if strata is not None and strata.size else 1
    columns = [
        build_column(
            name,
            rows[:, i],
            levels=(levels or {}).get(name, 0),
            cells=cells,
            strata=strata,
            count=count,
            bounds=(bounds or {}).get(name),
            watched=name not in unwatched,
        )
        for i, name in enumerate(names)
    ]
    if scores is not None:
        columns.append(
            build_column(SCORE, scores, cells=cells, strata=strata, count=count, bounds=(0.0, 1.0))
        )
    return Baseline(tuple(columns), count)
