"""How scores move between bands from one period to the next: the migration matrix of the entities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.challenge.item import Item, judged
from components.config import Migration
from serinus.contract import Contract
from serinus.intervals import wilson

Floats = NDArray[np.float64]
FEW = 50
"""Entities below which a matrix says nothing."""


def of_migration(
    settings: Migration,
    contract: Contract,
    keys: dict[str, NDArray[np.uint64]],
    time: NDArray[np.int64] | None,
    probability: Floats,
    reference: Floats,
) -> tuple[list[Item], list[dict[str, Any]]]:
    """Entities with test rows in both halves of the test period, by the band of their mean score in each.

    Args:
        keys: by entity the key of each test row, (n,), 0 where there is none.
        time, probability: of the test rows, (n,).
        reference: scores whose quantiles part the bands.

    Returns:
        The items (share moved two bands or more; the upper and the lower matrix weighted bandwidth,
        ECB 2019, as reports), and the matrix, a row for each band of the first half.
    """
    name, limit = "migration_moved_far", settings.moved_far
    entity = settings.entity or next(iter(contract.entities), "")
    why = (
        "the records carry no event time"
        if time is None
        else "the contract names no entity"
        if not entity
        else ""
    )
    if time is None or why:
        return [judged("stability", name, None, maximum=limit, why=why)], []
    known, first, second = _means(keys[entity], time, probability)
    if known < FEW:
        why = f"{known} of the {entity} entities have test rows in both halves of the period"
        return [judged("stability", name, None, maximum=limit, why=why, n=known)], []
    finite = reference[np.isfinite(reference)]
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, settings.bands + 1)[1:-1]))
    bands = edges.size + 1
    before, after = (np.searchsorted(edges, part, side="right") for part in (first, second))
    matrix = np.bincount(before * bands + after, minlength=bands * bands).reshape(bands, bands)
    far = int((np.abs(before - after) >= 2).sum())
    stayed = int((before == after).sum())
    upper, lower = bandwidth(matrix), bandwidth(matrix[::-1, ::-1])
    items = [
        judged(
            "stability", name, far / known, interval=wilson(far, known), maximum=limit, n=known,
            why=f"{known:,} of {entity} in {bands} bands; {stayed / known:.0%} stayed; weighted bandwidth "
            f"{_shown(upper)} to worse, {_shown(lower)} to better",
        )
    ]  # fmt: skip
    return items, [
        {"band": f"{i + 1} of {bands}", "entities": int(matrix[i].sum())}
        | {f"to {j + 1}": int(matrix[i, j]) for j in range(bands)}
        for i in range(bands)
    ]


def bandwidth(matrix: NDArray[np.int64]) -> float:
    """The upper matrix weighted bandwidth (ECB, instructions for reporting the validation results of internal models,
    2019, 2.5.5.1): how far those who move to a worse band move, over the farthest that they could; NaN if nobody does.

    With rows and columns turned round it is the lower one.
    """
    size = matrix.shape[0]
    place = np.arange(size)
    distance = np.clip(place[None, :] - place[:, None], 0, None)
    worse = np.where(distance > 0, matrix, 0)
    farthest = np.maximum(size - 1 - place, place)
    most = float((worse.sum(axis=1) * farthest).sum())
    return float((worse * distance).sum()) / most if most else math.nan


def _means(
    key: NDArray[np.uint64], time: NDArray[np.int64], probability: Floats
) -> tuple[int, Floats, Floats]:
    """How many entities have rows in both halves of the time, and their mean scores in each."""
    middle = (int(time.min()) + int(time.max())) / 2
    there = key != 0
    distinct, place = np.unique(key[there], return_inverse=True)
    late = time[there] > middle
    means: list[Floats] = []
    for half in (~late, late):
        rows = np.bincount(place[half], minlength=distinct.size)
        total = np.bincount(place[half], probability[there][half], minlength=distinct.size)
        means.append(np.divide(total, rows, out=np.full(distinct.size, np.nan), where=rows > 0))
    both = np.isfinite(means[0]) & np.isfinite(means[1])
    return int(both.sum()), means[0][both], means[1][both]


def _shown(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "none"
