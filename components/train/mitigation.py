"""Making the training data fair before a model sees them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def reweigh(
    groups: NDArray[np.object_], outcome: NDArray[np.float64]
) -> tuple[NDArray[np.float64], dict[str, dict[str, float]]]:
    """Weights that make outcome and group independent in the weighted rows.

    Each row weighs ``P(group) P(outcome) / P(group, outcome)`` (Kamiran and Calders,
    *Data preprocessing techniques for classification without discrimination*, 2012,
    section 4.3); the weights keep every group's and every outcome's total.

    Args:
        groups: shape (n,), one hashable value per row (a combination of attributes).
        outcome: shape (n,), 0 or 1.

    Returns:
        The weights, shape (n,), and the same by group and outcome, to be reported.
    """
    weights = np.ones(outcome.size)
    table: dict[str, dict[str, float]] = {}
    for group in sorted(set(groups.tolist())):
        inside = groups == group
        table[str(group)] = {}
        for value, word in ((0.0, "good"), (1.0, "bad")):
            cell = inside & (outcome == value)
            if cell.any():
                weight = float(inside.mean() * (outcome == value).mean() / cell.mean())
                weights[cell] = weight
                table[str(group)][word] = round(weight, 4)
    return weights, table
