"""From a model's raw probability to one that can be believed."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Calibrator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A monotone map of [0, 1] into [0, 1].

    ``isotonic`` interpolates between the knots (x ascending), flat outside them.
    """

    kind: Literal["identity", "isotonic"] = "identity"
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def apply(self, raw: Floats) -> Floats:
        """Calibrated probabilities, same shape as ``raw``."""
        if self.kind == "identity":
            return raw
        return np.interp(raw, self.x, self.y)


def fit_isotonic(raw: Floats, outcome: Floats, *, smallest: int = 50, growth: float = 1.25) -> Calibrator:
    """Isotonic regression of the outcome (0 or 1) on the raw probability.

    Pool-adjacent-violators (Barlow et al. 1972) after grouping the sorted rows
    into blocks: a probability resting on a handful of rows would be noise stated
    as fact. Blocks are smallest at both ends, where rare outcomes and decisions
    lie, and grow by ``growth`` towards the middle. Each is shrunk towards the
    base rate by one row, so a block without a bad outcome is rare, not impossible.

    Args:
        raw: shape (n,), in [0, 1].
        outcome: shape (n,), 0 or 1.
        smallest: rows of the outermost blocks; less where there are few rows.
    """
    if raw.size == 0 or float(outcome.min()) == float(outcome.max()):
        return Calibrator()
    order = np.argsort(raw, kind="stable")
    base = float(outcome.mean())
    blocks: list[list[float]] = []  # mean of y, weight, mean of x
    for rows in np.split(order, _cuts(raw.size, max(5, min(smallest, raw.size // 40)), growth)):
        y, weight, x = float(outcome[rows].mean()), float(rows.size), float(raw[rows].mean())
        blocks.append([(y * weight + base) / (weight + 1.0), weight, x])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            last, before = blocks.pop(), blocks[-1]
            total = before[1] + last[1]
            blocks[-1] = [
                (before[0] * before[1] + last[0] * last[1]) / total,
                total,
                (before[2] * before[1] + last[2] * last[1]) / total,
            ]
    return Calibrator("isotonic", tuple(b[2] for b in blocks), tuple(b[0] for b in blocks))


def _cuts(rows: int, smallest: int, growth: float) -> list[int]:
    """Where to cut ``rows`` so that blocks grow from both ends and meet in the middle."""
    left: list[int] = []
    at, size = 0.0, float(smallest)
    while at + size < rows / 2:
        at += size
        size *= growth
        left.append(round(at))
    return sorted({*left, *(rows - cut for cut in left)} - {0, rows})
