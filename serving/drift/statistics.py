"""Effect sizes and small-sample tests, in numpy alone: no clock, no I/O, no client library."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from serinus.watching.laws import chi_square_sf

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def numeric_edges(reference: Floats, bins: int = 10) -> Floats:
    """Inner edges of the cells in which the population stability index is taken.

    Quantiles of the reference, except that a value which alone holds a cell's
    share (the zero of a zero-inflated amount, a constant) gets a cell to
    itself: plain quantile cells would hide every change above such an atom.
    A value on an edge belongs to the cell above it.
    """
    if reference.size == 0:
        return np.empty(0)
    values, counts = np.unique(reference, return_counts=True)
    atoms = values[counts >= reference.size / bins]
    rest = reference[~np.isin(reference, atoms)]
    # As many quantile cells for the rest as its share deserves.
    parts = max(1, round(bins * rest.size / reference.size))
    inner = np.quantile(rest, np.linspace(0, 1, parts + 1)[1:-1]) if rest.size else np.empty(0)
    return np.unique(np.concatenate([atoms, np.nextafter(atoms, np.inf), inner]))


def cell_counts(values: Floats, edges: Floats) -> Counts:
    """How many of ``values`` (none missing) lie in each of ``len(edges) + 1`` cells."""
    cells = np.searchsorted(edges, values, side="right")
    return np.bincount(cells, minlength=edges.size + 1).astype(np.int64)


def level_counts(codes: Floats, levels: int) -> Counts:
    """How many of the encoded ``codes`` (none missing) are each of ``levels`` levels."""
    return np.bincount(codes.astype(np.int64), minlength=levels)[:levels].astype(np.int64)


def population_stability_index(reference: Counts, window: Counts) -> float:
    """PSI = Σ (q - p) ln(q / p) over the cells, half a count added to each.

    The half count keeps an empty cell finite; without it one value in a new
    cell would be an infinite effect.
    """
    p = (reference + 0.5) / (reference.sum() + 0.5 * reference.size)
    q = (window + 0.5) / (window.sum() + 0.5 * window.size)
    return float(np.sum((q - p) * np.log(q / p)))


def psi_null_quantile(reference_rows: int, window_rows: int, cells: int, quantile: float = 0.99) -> float:
    """The PSI that ``quantile`` of undrifted windows stay below.

    Without drift PSI is distributed as (1/n + 1/m) times chi-square with
    ``cells - 1`` degrees of freedom (Yurdakul and Naranjo, 2020): the customary
    limit of 0.1 alone is an artefact of the sample size.
    """
    if cells < 2:
        return 0.0
    return (1 / reference_rows + 1 / window_rows) * chi_square_quantile(quantile, cells - 1)


def occupied(reference: Counts, window: Counts) -> int:
    """Cells that hold anything in either sample: the others carry no degree of freedom."""
    return int(np.count_nonzero(reference + window))


def chi_square_quantile(quantile: float, freedom: int) -> float:
    """The x with P(chi-square ≤ x) = ``quantile``, by bisection."""
    low, high = 0.0, 10.0 * freedom + 100.0
    for _ in range(100):
        middle = (low + high) / 2
        if 1 - chi_square_sf(middle, freedom) < quantile:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def more_often(window_hits: int, window_rows: int, reference_hits: int, reference_rows: int) -> float:
    """Fisher's exact one-sided p-value that hits became *more* frequent than in the reference."""
    hits = window_hits + reference_hits
    highest = min(hits, window_rows)
    k = np.arange(window_hits, highest + 1)
    logs = _log_choose(window_rows, k) + _log_choose(reference_rows, hits - k)
    logs -= _log_choose(window_rows + reference_rows, np.array([hits]))[0]
    return float(min(1.0, np.exp(logs).sum()))


def _log_choose(n: int, k: Counts) -> Floats:
    return np.array([math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in k.tolist()])
