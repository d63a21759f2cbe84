"""The alternatives that are bet on from the first row of a change, before anything could be learned.

Each is a law of the cells: one cell grown, the whole column moved up or down, spread or drawn together.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from .bins import Column, Floats, Ints

_RARE = 10  # reference values below which cells are judged together
_MOST = 40  # groups
_MOVES = (0.35, -0.35, 0.8, -0.8)  # in standard deviations of the normal scores
_SPREADS = (0.15, 0.3, -0.3)
_GROWN = (
    (1.8, 0.03),
    (3.0, 0.08),
)  # a cell so many times as full, at least this share, at most half of the rest
MEMORIES = (2.0, 8.0, 32.0)  # half-lives of what the learning bets remember, in looks


def grouped(column: Column) -> Ints:
    """Cell → group: cells with fewer than ten reference values, and all but the 39 fullest, are judged together."""
    totals = np.sum(column.counts, axis=0)
    apart = totals >= _RARE
    apart[np.argsort(-totals, kind="stable")[_MOST - 1 :]] &= column.cells <= _MOST
    if (~apart).sum() < 2:
        return np.arange(column.cells)
    groups = np.cumsum(apart) - 1
    return np.where(apart, groups, apart.sum())


def shares(column: Column) -> Floats:
    """The reference's shares (strata, cells), half a count added to each."""
    counts = np.asarray(column.counts, np.float64) + 0.5
    return counts / counts.sum(axis=1, keepdims=True)


def fixed(column: Column, centre: Floats) -> tuple[Floats, Floats]:
    """Alternatives (bets, groups) to the shares ``centre`` (groups,), and their weights (bets,), which add to 1."""
    size = centre.size
    if size < 2:
        return centre[None, :], np.ones(1)
    grown = [np.minimum(np.maximum(factor * centre, least), (1 + centre) / 2) for factor, least in _GROWN]
    one = np.eye(size, dtype=bool)
    cells = np.concatenate(
        [np.where(one, g[:, None], centre * ((1 - g) / (1 - centre))[:, None]) for g in grown]
    )
    cell_weights = np.full(len(cells), 1 / len(cells))
    if column.kind == "category" or size < 3 or size != column.cells:
        return cells, cell_weights
    middle = np.cumsum(centre) - centre / 2
    score = np.array([NormalDist().inv_cdf(m) for m in middle])
    moved = np.exp(np.asarray(_MOVES)[:, None] * score)
    spread = np.exp(np.asarray(_SPREADS)[:, None] * (score**2 - 1))
    shapes = np.concatenate([moved, spread]) * centre
    shapes /= shapes.sum(axis=1, keepdims=True)
    weights = np.concatenate([np.full(len(shapes), 0.5 / len(shapes)), cell_weights / 2])
    return np.concatenate([shapes, cells]), weights
