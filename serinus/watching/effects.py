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
    n, m = float(counts.sum()), float(reference.sum())
    worth = n if effective is None else min(effective, n)
    if worth < minimum or m < minimum:
        return None
    p, q = _shares(reference, m), _shares(counts, n)
    middle = (p + q) / 2
    js = 0.5 * float(np.sum(p * np.log2(p / middle)) + np.sum(q * np.log2(q / middle)))
    return Effect(
        n=worth,
        reference_n=int(m),
        psi=float(np.sum((q - p) * np.log(q / p))),
        psi_null=psi_null(m, worth, int(np.count_nonzero(reference + counts)), quantile),
        kl=float(np.sum(q * np.log(q / p))),
        js=math.sqrt(max(0.0, js)),
        wasserstein=None if column.kind == "category" else _wasserstein(column, reference / m, counts / n),
    )


def psi_null(reference_n: float, n: float, cells: int, quantile: float = 0.99) -> float:
    """The PSI that ``quantile`` of undrifted samples stay below: (1/n + 1/m) chi-square with ``cells - 1`` degrees.

    Yurdakul and Naranjo (2020). A limit of 0.1 alone is an artefact of the sample size.
    """
    return (1 / reference_n + 1 / n) * chi_square_isf(round(1 - quantile, 12), cells - 1)


def _shares(counts: Floats, total: float) -> Floats:
    return (counts + 0.5) / (total + 0.5 * counts.size)


def _wasserstein(column: Column, p: Floats, q: Floats) -> float:
    # Mass is taken to lie evenly within a cell; beyond the outermost edges, up to the bounds of the reference. A
    # shift that stays within one cell is not seen, one beyond the bounds is cut off there.
    edges = np.asarray(column.edges)
    if not edges.size:
        return 0.0
    low, high = max(column.low, -1e300), min(column.high, 1e300)
    low = min(low, float(edges[0])) if low > -1e300 else float(edges[0])
    high = max(high, float(edges[-1])) if high < 1e300 else float(edges[-1])
    points = np.concatenate([[low], edges, [high]])
    gap = np.concatenate([[0.0], np.cumsum(q - p)[:-1], [0.0]])
    left, right, width = gap[:-1], gap[1:], np.diff(points)
    crosses = left * right < 0
    whole = (np.abs(left) + np.abs(right)) / 2
    total = np.abs(left) + np.abs(right)
    split = (left**2 + right**2) / (2 * np.where(crosses, total, 1.0))
    return float(np.sum(width * np.where(crosses, split, whole)))
