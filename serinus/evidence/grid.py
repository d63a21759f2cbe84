"""The odds ratios at which each guard's evidence is kept, and the columns of its state.

One row of state, float32, per edge:

    harm[up], harm[down]   ln S_i of the mixture over onsets, one per alternative (``updating`` has the
    recursion) curve                  ln P(node) - ln P(anchor), one per node but the anchor: the whole
    likelihood of the ratio absolute[up|down]      ln e-value against "the excess share is at least the
    absolute margin"

A side that is not harm has no columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import log

import numpy as np
from numpy.typing import NDArray

from .types import Guard, Side

Floats = NDArray[np.float64]

# Alternatives as multiples of the margin, and their prior: most weight where thin traffic needs it.
MULTIPLES = (1.25, 1.6, 2.2, 3.2, 5.0, 8.0, 15.0, 40.0)
_PRIOR = np.array([1.0, 2.0, 4.0, 6.0, 5.0, 3.0, 2.0, 1.0])
LOG_PRIOR: Floats = np.log(_PRIOR / _PRIOR.sum())
# Ratios at which a canary within its margin is expected: what "no harm" bets on, as fractions of the margin.
_INNER = (1.25, 1.5, 2.0, 4.0, 10.0)


@dataclass(frozen=True)
class Grid:
    """Columns of one guard's state.

    Attributes:
        thetas: ln of every node, ascending.
        anchor: index of the node that the curve is relative to.
        directions: +1 where a higher share is harm, -1 where a lower one is; one or both.
        margins: per direction, index of the node at the margin.
        alternatives: per direction, indices of the harmful nodes, mildest first.
    """

    thetas: tuple[float, ...]
    anchor: int
    directions: tuple[int, ...]
    margins: tuple[int, ...]
    alternatives: tuple[tuple[int, ...], ...]

    @property
    def harm_width(self) -> int:
        """Columns of harm's evidence."""
        return len(self.directions) * len(MULTIPLES)

    @property
    def width(self) -> int:
        """Columns of a row."""
        return self.harm_width + len(self.thetas) - 1 + len(self.directions)

    def harm(self, side: int) -> slice:
        """Columns of one direction of harm."""
        return slice(side * len(MULTIPLES), (side + 1) * len(MULTIPLES))

    @property
    def curve(self) -> slice:
        """Columns of the odds ratio's likelihood."""
        return slice(self.harm_width, self.harm_width + len(self.thetas) - 1)

    @property
    def absolute(self) -> slice:
        """Columns of the absolute margin's evidence, one per direction."""
        return slice(self.width - len(self.directions), self.width)

    def full_curve(self, rows: Floats) -> Floats:
        """(edges, nodes): ln P(node) relative to the anchor, the anchor's zero included."""
        out = np.zeros((len(rows), len(self.thetas)))
        stored = rows[:, self.curve]
        out[:, : self.anchor] = stored[:, : self.anchor]
        out[:, self.anchor + 1 :] = stored[:, self.anchor :]
        return out


@lru_cache(maxsize=512)
def _grid(side: Side, margin: float) -> Grid:
    outward = tuple(log(margin * multiple) for multiple in MULTIPLES)
    if side == "both":
        directions = (1, -1)
        edge = log(margin)
        marked = {*outward, *(-theta for theta in outward), edge, -edge, 0.0}
        if edge == 0.0:
            marked = {theta if theta else 0.0 for theta in marked}
    else:
        directions = (1,) if side == "higher" else (-1,)
        inward = tuple(log(margin / fraction) for fraction in _INNER)
        marked = {directions[0] * theta for theta in (*outward, *inward, log(margin))}
    thetas = tuple(sorted(marked))
    near = {theta: index for index, theta in enumerate(thetas)}
    margins = tuple(near[direction * log(margin)] for direction in directions)
    return Grid(
        thetas=thetas,
        anchor=near[0.0] if side == "both" else margins[0],
        directions=directions,
        margins=margins,
        alternatives=tuple(tuple(near[direction * theta] for theta in outward) for direction in directions),
    )


def grid_of(guard: Guard) -> Grid:
    """The nodes and columns of a guard."""
    return _grid(guard.side, guard.margin_ratio)
