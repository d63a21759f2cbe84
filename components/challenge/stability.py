"""Whether the rows that judge are like those that taught: PSI of score and features, performance by period."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.challenge.delong import auc_interval
from components.challenge.item import Item, judged
from components.config import Challenge
from serinus.watching.bins import Column, build_column
from serinus.watching.effects import between

Floats = NDArray[np.float64]
REPLICATES = 200
FEW = 20
"""Bad outcomes below which a period's AUC is not told."""


def psi(name: str, reference: Floats, sample: Floats, *, levels: int = 0) -> dict[str, float] | None:
    """PSI of a sample against the reference in its quantile bins, with the value that 99 % of samples of this size
    stay below without any drift, and a 95 % interval (bootstrap of the counts, seeded); None below 100 values.

    Args:
        levels: number of a category's levels, 0 for numbers; missing values are left out of both.
    """
    column = build_column(name, reference, levels=levels)
    before, after = np.asarray(column.counts[0], dtype=np.float64), _counts(column, sample)
    found = between(column, before, after)
    if found is None:
        return None
    random = np.random.default_rng(1)
    shares, total = after / after.sum(), int(after.sum())
    drawn = [
        between(column, before, random.multinomial(total, shares).astype(np.float64))
        for _ in range(REPLICATES)
    ]
    values = [item.psi for item in drawn if item is not None]
    return {
        "psi": found.psi,
        "chance": found.psi_null,
        "low": float(np.quantile(values, 0.025)),
        "high": float(np.quantile(values, 0.975)),
    }


def of_stability(
    settings: Challenge,
    names: Sequence[str],
    levels: Sequence[int],
    train: tuple[Floats, Floats],
    test: tuple[Floats, Floats],
) -> tuple[list[Item], list[dict[str, Any]]]:
    """The items, and the table of PSI by column.

    Args:
        names, levels: of the features, (F,); 0 levels is a number.
        train, test: encoded rows (n, F) and calibrated scores (n,).
    """
    table: list[dict[str, Any]] = []
    for name, count, before, after in [
        ("score", 0, train[1], test[1]),
        *(
            (name, count, train[0][:, i], test[0][:, i])
            for i, (name, count) in enumerate(zip(names, levels, strict=True))
        ),
    ]:
        found = psi(name, before[np.isfinite(before)], after[np.isfinite(after)], levels=count)
        missing = float(np.isnan(after).mean() - np.isnan(before).mean())
        rows = {"column": name, "rows": int(np.isfinite(after).sum()), "missing_excess": round(missing, 6)}
        table.append(rows | (found or {"psi": None}))
    score, features = table[0], [row for row in table[1:] if row["psi"] is not None]
    worst = max(features, key=lambda row: row["psi"], default=None)
    return [
        _item("score_psi", score if score["psi"] is not None else None, settings.score_psi, "score"),
        _item("feature_psi", worst, settings.feature_psi, worst["column"] if worst else ""),
    ], table


def _item(name: str, row: dict[str, Any] | None, limit: float | None, of: str) -> Item:
    if row is None:
        return judged("stability", name, None, maximum=limit, why="fewer than 100 values")
    # Where chance alone reaches further than the limit, chance is the limit.
    bound = None if limit is None else max(limit, row["chance"])
    return judged(
        "stability", name, row["psi"], interval=(row["low"], row["high"]), maximum=bound,
        why=f"{of}; chance alone gives up to {row['chance']:.3f}", n=int(row["rows"]),
    )  # fmt: skip


def of_periods(
    settings: Challenge, outcome: Floats, probability: Floats, time: NDArray[np.int64] | None
) -> tuple[list[Item], list[dict[str, Any]]]:
    """Performance over equal spans of the test period: the worst period's AUC, and the table.

    Args:
        time: microseconds since the epoch, (n,); None where the contract has no event time.
    """
    if time is None or time.size == 0:
        why = "the records carry no event time"
        return [judged("backtest", "worst_period_auc", None, minimum=settings.worst_period_auc, why=why)], []
    edges = np.linspace(time.min(), time.max() + 1, settings.periods + 1)
    part = np.searchsorted(edges, time, side="right") - 1
    table: list[dict[str, Any]] = []
    for number in range(settings.periods):
        inside = part == number
        bad = int(outcome[inside].sum())
        area, low, high = (
            auc_interval(outcome[inside], probability[inside])
            if bad >= FEW
            else (math.nan, math.nan, math.nan)
        )
        expected = float(probability[inside].sum())
        table.append(
            {
                "from": _day(edges[number]),
                "to": _day(edges[number + 1]),
                "rows": int(inside.sum()),
                "bad": bad,
                "observed_to_expected": round(bad / expected, 4) if expected else None,
                "auc": area if math.isfinite(area) else None,
                "low": low if math.isfinite(low) else None,
                "high": high if math.isfinite(high) else None,
            }
        )
    told = [row for row in table if row["auc"] is not None]
    if not told:
        why = f"no period has {FEW} bad outcomes"
        return [
            judged("backtest", "worst_period_auc", None, minimum=settings.worst_period_auc, why=why)
        ], table
    worst = min(told, key=lambda row: row["auc"])
    why = f"{worst['from']} to {worst['to']}, {worst['bad']} bad outcomes"
    interval = (worst["low"], worst["high"])
    item = judged(
        "backtest",
        "worst_period_auc",
        worst["auc"],
        interval=interval,
        minimum=settings.worst_period_auc,
        why=why,
        n=worst["rows"],
    )
    return [item], table


def _counts(column: Column, values: Floats) -> Floats:
    where = np.searchsorted(np.asarray(column.edges), values, side="right")
    return np.bincount(where, minlength=column.cells).astype(np.float64)


def _day(micros: float) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%d")
