"""Small causes, small effects: directions that the contract declares, and reasons that hold under a little noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from components.challenge.item import Item, judged
from components.challenge.stress import Score
from components.config import Challenge
from serinus.contract import Contract
from serinus.intervals import wilson
from serinus.model import reason_codes

Floats = NDArray[np.float64]
GRID = 15
ROWS = 200
TOP, DRAWS = 4, 200


def of_directions(settings: Challenge, contract: Contract, rows: Floats, score: Score) -> Item:
    """Rows whose risk moves against a declared direction anywhere along the feature's range, the others held.

    The curve of each row (individual conditional expectation, Goldstein et al. 2015) over the 1st to 99th
    percentile must not fall where the contract says ``monotone: 1``, nor rise for ``-1``.
    """
    declared = [
        (i, feature)
        for i, feature in enumerate(contract.features)
        if feature.monotone and not contract.is_categorical(feature)
    ]
    if not declared:
        why = "the contract declares no direction"
        return judged(
            "sensitivity", "direction_violations", None, maximum=settings.direction_violations, why=why
        )
    chosen = _spread(rows, ROWS)
    shares: dict[str, float] = {}
    for i, feature in declared:
        present = rows[np.isfinite(rows[:, i]), i]
        if present.size == 0:
            continue
        curves: list[Floats] = []
        for value in np.quantile(present, np.linspace(0.01, 0.99, GRID)):
            there = chosen.copy()
            there[:, i] = value
            curves.append(score(there))
        steps = np.diff(np.stack(curves), axis=0) * feature.monotone
        shares[feature.name] = float((steps < -1e-9).any(axis=0).mean())
    worst = max(shares, key=lambda name: shares[name], default="")
    return judged(
        "sensitivity", "direction_violations", shares.get(worst), maximum=settings.direction_violations,
        why=f"{worst}, of {len(declared)} features with a declared direction",
        n=chosen.shape[0],
    )  # fmt: skip


def of_reasons(
    settings: Challenge,
    contract: Contract,
    rows: Floats,
    levels: Sequence[int],
    score: Score,
    contributions: Callable[[Floats], Floats],
) -> Item:
    """Share of adverse decisions whose first reason stays the same when every number moves a little.

    The noise is normal, a hundredth of each feature's standard deviation, seeded. A reason that changes with
    it is none that a person could be told.
    """
    name, minimum = "first_reason_kept", settings.first_reason_kept
    adverse = _spread(rows[score(rows) >= contract.decision.adverse_at], ROWS)
    if adverse.shape[0] < 20:
        return judged("sensitivity", name, None, minimum=minimum, why="fewer than 20 adverse decisions")
    numbers = np.array([count == 0 for count in levels])
    scale = np.where(numbers, np.nan_to_num(np.nanstd(rows, axis=0)) * 0.01, 0.0)
    moved = adverse + np.random.default_rng(1).normal(0, 1, adverse.shape) * scale
    # Whole numbers stay whole: 3.01 payments are none.
    whole = np.array([_whole(rows[:, i]) for i in range(rows.shape[1])])
    moved[:, whole] = np.round(moved[:, whole])
    firsts = [
        [codes[0].text if (codes := reason_codes(contract, row)) else "" for row in contributions(part)]
        for part in (adverse, moved)
    ]
    kept = np.array([a == b for a, b in zip(*firsts, strict=True)], dtype=np.float64)
    interval = wilson(int(kept.sum()), kept.size)
    why = f"{kept.size} adverse decisions, noise of a hundredth of a standard deviation"
    return judged(
        "sensitivity", name, float(kept.mean()), interval=interval, minimum=minimum, why=why, n=kept.size
    )


def of_importance(settings: Challenge, contributions: Floats) -> Item:
    """How much of the strongest features stays the same when the explained rows are drawn anew.

    The Jaccard index of the top four by mean absolute contribution (one fewer than there are features, where
    there are few) of a bootstrap sample against those of all rows: 1 is the same, 0 none of them.

    Args:
        contributions: of the sample, (n, F + 1), the base value last.
    """
    name, minimum = "top_reasons_kept", settings.top_reasons_kept
    sizes = np.abs(contributions[:, :-1])
    n, features = sizes.shape
    top = min(TOP, features - 1)
    if top < 1 or n < 20:
        return judged(
            "explanation", name, None, minimum=minimum, why="one feature or fewer than 20 rows", n=n
        )
    random = np.random.default_rng(1)
    whole = _strongest(sizes.mean(axis=0), top)
    kept = np.array(
        [
            len(whole & again) / len(whole | again)
            for again in (_strongest(sizes[random.integers(0, n, n)].mean(axis=0), top) for _ in range(DRAWS))
        ]
    )
    return judged(
        "explanation", name, float(kept.mean()), minimum=minimum, n=n,
        interval=(float(np.quantile(kept, 0.025)), float(np.quantile(kept, 0.975))),
        why=f"top {top} of {features} features, {DRAWS} samples",
    )  # fmt: skip


def _strongest(sizes: Floats, top: int) -> set[int]:
    return set(np.argsort(-sizes, kind="stable")[:top].tolist())


def _spread(rows: Floats, most: int) -> Floats:
    return rows[np.linspace(0, rows.shape[0] - 1, min(most, rows.shape[0])).astype(int)]


def _whole(values: Floats) -> bool:
    present = values[np.isfinite(values)]
    return bool((present == np.round(present)).all())
