"""The model fitted again by other seeds on rows drawn anew: how much of it is the data's, and how much chance."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.challenge.delong import auc_interval
from components.challenge.item import Item, judged
from components.config import Retrained, Training
from components.evaluate.metrics import mean_interval
from components.table import TRAIN, VALIDATION, Codes, Rows
from components.train.booster import fit
from components.train.train import curve_of, weights_of
from serinus.contract import Contract
from serinus.watching.laws import chi_square_sf

Floats = NDArray[np.float64]


def of_retrained(
    settings: Retrained,
    contract: Contract,
    training: Training,
    encoded: Floats,
    rows: Rows,
    codes: Codes,
    tested: NDArray[np.intp],
) -> tuple[list[Item], list[dict[str, Any]]]:
    """The items, and the table of the fits.

    Each fit draws as many training rows, with replacement, as there are or as the settings allow, takes
    another seed, stops early and is calibrated on the validation rows as the model was.

    Args:
        encoded: the whole table's vectors, with what training leaves out already blank.
        tested: places of the test rows to judge on.
    """
    if settings.fits < 2:
        why = "challenge.retrained.fits is below 2"
        return [
            judged("stability", "retrained_auc_sd", None, maximum=settings.auc_sd, why=why),
            judged(
                "stability", "retrained_decisions_changed", None, maximum=settings.decisions_changed, why=why
            ),
        ], []
    taught, check = np.flatnonzero(codes == TRAIN), np.flatnonzero(codes == VALIDATION)
    check = check[np.linspace(0, check.size - 1, min(check.size, settings.rows)).astype(int)]
    outcome, rule = rows.outcome[tested], contract.decision
    table: list[dict[str, Any]] = []
    decided: list[NDArray[np.int8]] = []
    areas: list[float] = []
    for number in range(settings.fits):
        seed = training.seed + 1000 * (number + 1)
        drawn = np.random.default_rng(seed).choice(taught, min(taught.size, settings.rows))
        weight, _ = weights_of(contract, training, rows, drawn)
        other = fit(
            contract,
            msgspec.structs.replace(training, seed=seed),
            encoded[drawn],
            rows.outcome[drawn],
            weight=weight,
            validation=(encoded[check], rows.outcome[check]),
        )
        raw = other.probability(encoded[tested])
        curve = curve_of(training)
        calibrated = (
            raw if curve is None
            else curve(other.probability(encoded[check]), rows.outcome[check]).apply(raw)
        )  # fmt: skip
        decided.append((calibrated >= rule.adverse_at).astype(np.int8) + (calibrated >= rule.decline_at))
        area, low, high = auc_interval(outcome, raw)
        areas.append(area)
        table.append(
            {
                "fit": number + 1,
                "rows": int(drawn.size),
                "trees": other.trees,
                "auc": _told(area),
                "low": _told(low),
                "high": _told(high),
                "adverse_share": round(float((decided[-1] > 0).mean()), 6),
            }
        )
    spread = float(np.std(areas, ddof=1))
    pairs = list(combinations(decided, 2))
    changed = np.mean([a != b for a, b in pairs], axis=0)
    each = [float((a != b).mean()) for a, b in pairs]
    about = f"{settings.fits} fits on {table[0]['rows']:,} rows"
    return [
        unless_chance(
            judged(
                "stability", "retrained_auc_sd", spread, interval=deviation_interval(spread, settings.fits),
                maximum=settings.auc_sd, n=settings.fits, why=f"{about}; AUC {min(areas):.3f} to {max(areas):.3f}",
            )
        ),
        judged(
            "stability", "retrained_decisions_changed", float(changed.mean()), interval=mean_interval(changed),
            maximum=settings.decisions_changed, n=int(outcome.size),
            why=f"{about}; {min(each):.1%} to {max(each):.1%} for a pair",
        ),
    ], table  # fmt: skip


def unless_chance(item: Item) -> Item:
    """The item, undecided where it failed and its interval still reaches within its maximum.

    A standard deviation of a few fits is a rough figure, above all on a few hundred test rows: a
    sound model would fail by it now and then.
    """
    if item.verdict != "fail" or item.low is None or item.maximum is None or item.low > item.maximum:
        return item
    why = f"{item.why}; may be chance: more fits would tell"
    return msgspec.structs.replace(item, verdict="no_data", blocks=False, why=why)


def deviation_interval(value: float, size: int) -> tuple[float, float]:
    """The 95 % interval of a standard deviation of so many values, by the chi-square law."""
    low, high = (value * math.sqrt((size - 1) / _chi_square_quantile(q, size - 1)) for q in (0.025, 0.975))
    return low, high


def _chi_square_quantile(upper: float, degrees: int) -> float:
    """The value that a chi-square variable exceeds with this probability, by bisection."""
    low, high = 0.0, 1.0
    while chi_square_sf(high, degrees) > upper:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if chi_square_sf(middle, degrees) > upper else (low, middle)
    return (low + high) / 2


def _told(value: float) -> float | None:
    return value if math.isfinite(value) else None
