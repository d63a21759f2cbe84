"""What is at stake: the amount behind the decisions, by decision and by band of the score."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.challenge.item import Item, judged
from components.challenge.stress import decisions
from components.config import Exposure
from serinus.contract import Contract, Feature
from serinus.intervals import Z95

Floats = NDArray[np.float64]
BANDS = 10
WORDS = ("approve", "review", "decline")


def amount_of(settings: Exposure, contract: Contract) -> Feature | None:
    """The feature that is the named column as it stands; None where none is."""
    for feature in contract.features:
        plain = feature.column == settings.column and feature.aggregate is None and feature.part is None
        if plain and not contract.is_categorical(feature):
            return feature
    return None


def of_exposure(
    settings: Exposure, contract: Contract, rows: Floats, outcome: Floats, probability: Floats
) -> tuple[list[Item], dict[str, Any]]:
    """The share of the bad amount that is not approved, and the amounts.

    Expected is the sum of probability times amount; what is recovered of a bad amount is not known here, so it is no
    loss. Rows without an amount are left out and counted.

    Returns:
        The item, and ``column``, ``unit``, ``rows``, ``without``, ``decisions`` and ``bands`` (the lowest score first).
    """
    name, least = "bad_amount_stopped", settings.bad_stopped_min
    feature = amount_of(settings, contract) if settings.column else None
    if feature is None:
        why = "the training config names no amount (challenge.exposure.column)"
        return [judged("exposure", name, None, minimum=least, why=why)], {}
    amount = rows[:, contract.feature_names.index(feature.name)]
    known = np.isfinite(amount) & (amount >= 0)
    amount, bad, p = amount[known], outcome[known], probability[known]
    if not amount.size or not amount.sum():
        why = "no test row has an amount"
        return [judged("exposure", name, None, minimum=least, why=why)], {}
    decided = decisions(contract, p)
    bound = np.unique(np.quantile(p, np.linspace(0, 1, BANDS + 1)[1:-1]))
    band = np.searchsorted(bound, p, side="right")
    said = ["0", *(f"{edge:.3g}" for edge in bound), "1"]
    column = contract.source(feature)
    tables = {
        "column": settings.column,
        "unit": (column.unit if column else "") or "",
        "rows": int(amount.size),
        "without": int((~known).sum()),
        "decisions": [
            {"decision": WORDS[k]} | _sums(decided == k, amount, bad, p)
            for k in range(3)
            if k != 1 or contract.decision.review_at is not None
        ],
        "bands": [
            {"score": f"{said[k]} to {said[k + 1]}"} | _sums(band == k, amount, bad, p)
            for k in range(bound.size + 1)
        ],
    }
    share, low, high = ratio(amount * bad * (decided > 0), amount * bad)
    count = int(bad.sum())
    if count < 2:
        share = math.nan
    why = f"of {float((amount * bad).sum()):,.0f} {tables['unit']} in {count} bad outcomes".replace("  ", " ")
    return [
        judged("exposure", name, share, interval=(low, high), minimum=least, why=why, n=int(amount.size))
    ], tables


def _sums(inside: NDArray[np.bool_], amount: Floats, bad: Floats, p: Floats) -> dict[str, Any]:
    share, low, high = ratio(np.where(inside, amount * bad, 0.0), np.where(inside, amount, 0.0))
    return {
        "rows": int(inside.sum()),
        "amount": round(float(amount[inside].sum()), 2),
        "amount_share": float(amount[inside].sum() / amount.sum()),
        "expected": round(float((amount * p)[inside].sum()), 2),
        "bad": round(float((amount * bad)[inside].sum()), 2),
        "bad_share": _told(share),
        "bad_share_low": _told(low),
        "bad_share_high": _told(high),
    }


def ratio(part: Floats, whole: Floats) -> tuple[float, float, float]:
    """Sum over sum with its 95 % interval (delta method), kept in [0, 1]; NaN where the whole is nothing, and no
    interval where nobody or everybody is in the part: rows that do not vary tell nothing of how they would."""
    total = float(whole.sum())
    if not total:
        return math.nan, math.nan, math.nan
    value = float(part.sum()) / total
    if value in (0.0, 1.0):
        return value, math.nan, math.nan
    half = Z95 * math.sqrt(part.size) * float((part - value * whole).std(ddof=1)) / total
    return value, max(value - half, 0.0), min(value + half, 1.0)


def _told(value: float) -> float | None:
    return value if math.isfinite(value) else None
