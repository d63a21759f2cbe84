"""Somebody who knows that large amounts are noticed: one amount split into several smaller ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.challenge.item import Item, judged
from components.challenge.stress import Score
from components.config import Challenge, Splitting
from serinus.contract import Contract, Feature
from serinus.durations import parse_duration
from serinus.intervals import wilson

Floats = NDArray[np.float64]


def of_splitting(
    settings: Challenge, contract: Contract, rows: Floats, outcome: Floats, score: Score
) -> tuple[list[Item], list[dict[str, Any]]]:
    """For each attempt: the share of the bad rows caught as they are that escape when they are split.

    Args:
        rows, outcome: of the test rows; the adverse ones with a bad outcome are split.
    """
    caught = rows[(outcome == 1) & (score(rows) >= contract.decision.adverse_at)]
    items: list[Item] = []
    table: list[dict[str, Any]] = []
    for attempt in settings.splitting:
        name = f"{attempt.column} split into {attempt.parts}"
        what = "bad rows caught as one that escape as several smaller ones"
        if not caught.shape[0]:
            items.append(
                judged(
                    "stress", name, None, maximum=attempt.escaped_max, why="no bad row is caught", what=what
                )
            )
            continue
        approved = np.stack(
            [score(part) < contract.decision.adverse_at for part in split(attempt, contract, caught)]
        )
        escaped = approved.all(axis=0)
        share = float(escaped.mean())
        low, high = wilson(int(escaped.sum()), escaped.size)
        items.append(
            judged(
                "stress", name, share, interval=(low, high), maximum=attempt.escaped_max, n=int(escaped.size),
                why=f"{int(escaped.sum()):,} of {escaped.size:,} escape", what=what,
            )
        )  # fmt: skip
        table.append(
            {
                "column": attempt.column,
                "parts": attempt.parts,
                "caught_whole": int(escaped.size),
                "escaped": int(escaped.sum()),
                "share": round(share, 6),
                "noticed_at_part": round(float(np.argmin(approved, axis=0)[~escaped].mean() + 1), 3)
                if not escaped.all()
                else None,
            }
        )
    return items, table


def split(attempt: Splitting, contract: Contract, rows: Floats) -> list[Floats]:
    """The rows of each part in turn: an equal share of the amount, and histories that know the parts before.

    Counts and sums grow by the earlier parts, means follow where a count over the same window is a feature too,
    least and greatest take them in; windows that end in the past (``delay``) do not see them.
    """
    place = {name: i for i, name in enumerate(contract.feature_names)}
    direct = [f for f in contract.features if _is_amount(f, attempt.column)]
    amount = rows[:, place[direct[0].name]] / attempt.parts
    found: list[Floats] = []
    for earlier in range(attempt.parts):
        part = rows.copy()
        for feature in contract.features:
            i = place[feature.name]
            if _is_amount(feature, attempt.column):
                part[:, i] = rows[:, i] / attempt.parts
            elif earlier and _sees(feature, attempt):
                part[:, i] = _grown(feature, contract, rows, place, amount, earlier, attempt.column)
        found.append(part)
    return found


def _is_amount(feature: Feature, column: str) -> bool:
    return feature.column == column and feature.aggregate is None and feature.part is None


def _sees(feature: Feature, attempt: Splitting) -> bool:
    return (
        feature.aggregate is not None
        and attempt.entity in (None, feature.entity)
        and parse_duration(feature.delay) == 0
    )


def _grown(
    feature: Feature,
    contract: Contract,
    rows: Floats,
    place: dict[str, int],
    amount: Floats,
    earlier: int,
    column: str,
) -> Floats:
    before = rows[:, place[feature.name]]
    if feature.aggregate == "count":
        return before + earlier
    if feature.column != column:
        return before
    if feature.aggregate == "sum":
        return before + earlier * amount
    if feature.aggregate == "min":
        return np.fmin(before, amount)
    if feature.aggregate == "max":
        return np.fmax(before, amount)
    counts = [
        other.name
        for other in contract.features
        if other.aggregate == "count"
        and (other.entity, other.window, other.delay) == (feature.entity, feature.window, feature.delay)
    ]
    if feature.aggregate == "mean" and counts:
        count = rows[:, place[counts[0]]]
        return (np.nan_to_num(before) * count + earlier * amount) / (count + earlier)
    return before
