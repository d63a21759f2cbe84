"""How large a shift is: PSI with its null quantile, KL, Jensen-Shannon and Wasserstein-1, from bins alone.

Evidence says that something changed, an effect says whether it matters; an alarm needs both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from .bins import Column, Floats
from .laws import chi_square_isf

_UNBOUNDED = 1e300


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """The distance of a sample from the reference.

    Args:
        n: values in the sample (effective number, where old looks count for less); ``reference_n`` likewise.
        psi: population stability index, (q - p) ln (q / p) summed over cells, half a count added to each.
        psi_null: the PSI that 99 % of samples of this size stay below without drift.
        kl: Kullback-Leibler divergence of the sample from the reference, nats.
        js: Jensen-Shannon distance to base 2: 0 is equal, 1 is disjoint.
        wasserstein: area between the two distribution functions, in units of the column; None for categories.
    """

    n: float
    reference_n: int
    psi: float
    psi_null: float
    kl: float
    js: float
    wasserstein: float | None

    def material(self, band: float) -> bool:
        """Whether PSI exceeds both the policy's band and what chance alone would give."""
        return self.psi > max(band, self.psi_null)


def effect(
    column: Column,
    counts: Sequence[float] | Floats,
    *,
    stratum: int = 0,
    minimum: float = 100,
    quantile: float = 0.99,
    effective: float | None = None,
) -> Effect | None:
    """The effect of ``counts`` (one per cell) against the column's reference; None below ``minimum`` values.

    None is a verdict of its own: no data. ``effective`` is the number of values that the counts are worth, if not
    their sum.
    """
    return between(
        column,
        np.asarray(column.counts[stratum], np.float64),
        np.asarray(counts, np.float64),
        minimum=minimum,
        quantile=quantile,
        effective=effective,
    )


def between(
    column: Column,
    reference: Floats,
    counts: Floats,
    *,
    minimum: float = 100,
    quantile: float = 0.99,
    effective: float | None = None,
) -> Effect | None:
    """The effect of ``counts`` against other counts in the same bins; None if either holds less than ``minimum``."""
    found = Yardsticks((column,)).effects(
        reference, counts, np.array([effective or np.inf]), minimum, quantile
    )
    return found[0]


class Yardsticks:
    """The geometry of several columns, whose cells lie end to end: all their effects are taken at once."""

    def __init__(self, columns: Sequence[Column]) -> None:
        sizes = [column.cells for column in columns]
        self.starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        self.owner = np.repeat(np.arange(len(columns)), sizes)
        self.sizes = np.asarray(sizes, np.float64)
        self.numbers = [column.kind == "number" for column in columns]
        self.widths = np.concatenate([_widths(column) for column in columns])

    def sums(self, cells: Floats) -> Floats:
        """Sums by column."""
        return np.add.reduceat(cells, self.starts)

    def effects(
        self, reference: Floats, counts: Floats, worth: Floats, minimum: float, quantile: float = 0.99
    ) -> list[Effect | None]:
        """The effect of ``counts`` (all cells) in each column; None where a side holds less than ``minimum``.

        ``worth`` (columns,) bounds the number of values that the counts are taken to be.
        """
        m, n = self.sums(reference), self.sums(counts)
        worth = np.minimum(worth, n)
        half = 0.5 * self.sizes
        p = (reference + 0.5) / (m + half)[self.owner]
        q = (counts + 0.5) / (n + half)[self.owner]
        log = np.log(q / p)
        middle = (p + q) / 2
        kl = self.sums(q * log)
        psi = kl - self.sums(p * log)
        js = 0.5 * self.sums(p * np.log2(p / middle) + q * np.log2(q / middle))
        occupied = self.sums((reference + counts > 0).astype(np.float64))
        area = self.sums(
            self._areas(reference / np.maximum(m, 1)[self.owner], counts / np.maximum(n, 1)[self.owner])
        )
        return [
            Effect(
                n=float(worth[i]),
                reference_n=int(m[i]),
                psi=float(psi[i]),
                psi_null=psi_null(float(m[i]), float(worth[i]), int(occupied[i]), quantile),
                kl=float(kl[i]),
                js=math.sqrt(max(0.0, float(js[i]))),
                wasserstein=float(area[i]) if self.numbers[i] else None,
            )
            if worth[i] >= minimum and m[i] >= minimum
            else None
            for i in range(len(self.numbers))
        ]

    def _areas(self, p: Floats, q: Floats) -> Floats:
        # The gap between the distribution functions at both ends of each cell. Shares add to one in each column, so
        # the running sum is back at zero where the next column begins.
        right = np.cumsum(q - p)
        left = right - (q - p)
        total = np.abs(left) + np.abs(right)
        crosses = left * right < 0
        split = (left**2 + right**2) / (2 * np.where(crosses, total, 1.0))
        return self.widths * np.where(crosses, split, total / 2)


def psi_null(reference_n: float, n: float, cells: int, quantile: float = 0.99) -> float:
    """The PSI that ``quantile`` of undrifted samples stay below: (1/n + 1/m) chi-square with ``cells - 1`` degrees.

    Yurdakul and Naranjo (2020). A limit of 0.1 alone is an artefact of the sample size.
    """
    return (1 / reference_n + 1 / n) * chi_square_isf(round(1 - quantile, 12), cells - 1)


def _widths(column: Column) -> Floats:
    # Mass is taken to lie evenly within a cell; beyond the outermost edges, up to the bounds of the reference. A
    # shift that stays within one cell is not seen, one beyond the bounds is cut off there.
    edges = np.asarray(column.edges)
    if column.kind == "category" or not edges.size:
        return np.zeros(column.cells)
    least, most = column.span or (column.low, column.high)
    low = min(least, float(edges[0])) if least > -_UNBOUNDED else float(edges[0])
    high = max(most, float(edges[-1])) if most < _UNBOUNDED else float(edges[-1])
    return np.diff(np.concatenate([[low], edges, [high]]))
