"""Two models on the same rows: paired tests of ranking and of decisions, and who changes sides between them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.challenge.delong import paired_difference
from components.challenge.item import Item, judged
from components.config import Champion
from serinus.contract import Decision
from serinus.intervals import wilson

Floats = NDArray[np.float64]
Scores = tuple[Floats, Floats]
"""Raw and calibrated probabilities, each (n,)."""
DECISIONS = ("approve", "review", "decline")
REPLICATES = 4000


@dataclass(frozen=True)
class Costs:
    """Of one wrong decision; None where the contract names none."""

    false_positive: float | None
    false_negative: float | None


def no_champion(settings: Champion) -> Item:
    """There is nothing to compare with, which is a verdict of its own."""
    item = judged(
        "champion",
        "champion_auc",
        None,
        minimum=_least(settings),
        why="there is no champion yet: a person decides whether the first version goes live",
    )
    stops = settings.no_champion == "stop" and settings.demand != "report"
    return msgspec.structs.replace(item, verdict="no_champion", blocks=stops)


def nothing(settings: Champion, why: str) -> list[Item]:
    """A champion that cannot be compared with: no data."""
    item = judged("champion", "champion_auc", None, minimum=_least(settings), why=why)
    return [_undecided(settings, item)]


def compare(
    settings: Champion,
    outcome: Floats,
    *,
    candidate: Scores,
    champion: Scores,
    rules: tuple[Decision, Decision],
    costs: Costs,
    favoured: bool = False,
    note: str = "",
) -> tuple[list[Item], dict[str, Any]]:
    """The items, and the tables ``decisions``, ``swap_set`` and ``points``.

    Rows are drawn anew together with both models' decisions on them (paired bootstrap). Since the measures
    depend on nothing but how many rows there are of each pair of decisions and outcome, drawing those 18 counts from
    their multinomial law is the same as drawing the rows.

    Args:
        outcome: 0 or 1, (n,).
        candidate, champion: raw scores, which rank, and calibrated ones, which decide.
        rules: the candidate's and the champion's.
        favoured: the champion may have seen some rows. Where it loses all the same,
            it has lost; where it wins, that is no data.
        note: added to what the ranking's item says.
    """
    cells = _cells(outcome, _decided(rules[0], candidate[1]), _decided(rules[1], champion[1]))
    drawn = (
        np.random.default_rng(1)
        .multinomial(outcome.size, cells.ravel() / outcome.size, size=REPLICATES)
        .reshape(-1, *cells.shape)
    )
    difference, low, high = paired_difference(outcome, candidate[0], champion[0])
    items = [
        _shown(settings, "champion_auc", difference, (low, high), minimum=_least(settings), favoured=favoured,
               why=note, n=outcome.size),
        _difference(settings, "champion_cost", cells, drawn, _cost(costs), maximum=settings.cost_increase_max,
                    favoured=favoured, why="" if _cost(costs) else "the contract names no costs"),
        _difference(
            settings, "champion_precision", cells, drawn, _precision, favoured=favoured,
            minimum=None if settings.precision_loss_max is None else -settings.precision_loss_max,
        ),
        _difference(settings, "champion_recall", cells, drawn, _recall, favoured=favoured),
        _errors(cells),
    ]  # fmt: skip
    return items, {
        "decisions": _table(cells),
        "swap_set": _swapped(cells, costs),
        "points": {
            name: {
                "precision": _number(float(_precision(part))),
                "recall": _number(float(_recall(part))),
                "declined": int(part[2].sum()),
                "cost_per_1000": _number(float(cost(part))) if (cost := _cost(costs)) else None,
            }
            for name, part in (("candidate", cells.sum(axis=1)), ("champion", cells.sum(axis=0)))
        },
    }


def _least(settings: Champion) -> float | None:
    return {"non_inferior": -settings.auc_margin, "superior": 0.0, "report": None}[settings.demand]


def _decided(rule: Decision, probability: Floats) -> NDArray[np.int64]:
    return (probability >= rule.adverse_at).astype(np.int64) + (probability >= rule.decline_at)


def _cells(outcome: Floats, candidate: NDArray[np.int64], champion: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows by the candidate's decision, the champion's, and the outcome: (3, 3, 2)."""
    flat = (candidate * 3 + champion) * 2 + outcome.astype(np.int64)
    return np.bincount(flat, minlength=18).reshape(3, 3, 2)


def _shown(
    settings: Champion,
    name: str,
    value: float | None,
    interval: tuple[float, float],
    *,
    favoured: bool,
    minimum: float | None = None,
    maximum: float | None = None,
    why: str = "",
    n: int | None = None,
) -> Item:
    """The verdict by the whole interval: shown, refuted, or not told by these rows."""
    item = judged("champion", name, value, interval=interval, minimum=minimum, maximum=maximum, why=why, n=n)
    if item.value is None or item.low is None or item.high is None or (minimum is None and maximum is None):
        return item if not item.blocks else _undecided(settings, item)
    holds = (minimum is None or item.low >= minimum) and (maximum is None or item.high <= maximum)
    broken = (minimum is not None and item.high < minimum) or (maximum is not None and item.low > maximum)
    if holds:
        return msgspec.structs.replace(item, verdict="pass")
    if broken and not favoured:
        return msgspec.structs.replace(item, verdict="fail")
    said = "these rows cannot tell: the interval crosses the limit" if not broken else ""
    return _undecided(
        settings, msgspec.structs.replace(item, why="; ".join(p for p in (said, item.why) if p))
    )


def _undecided(settings: Champion, item: Item) -> Item:
    stops = settings.undecided == "stop" and settings.demand != "report"
    return msgspec.structs.replace(item, verdict="no_data", blocks=stops)


def _difference(
    settings: Champion,
    name: str,
    cells: NDArray[np.int64],
    drawn: NDArray[np.int64],
    measure: Measure | None,
    *,
    favoured: bool,
    minimum: float | None = None,
    maximum: float | None = None,
    why: str = "",
) -> Item:
    """The candidate's measure less the champion's, with the paired bootstrap's percentile interval."""
    value, interval = math.nan, (math.nan, math.nan)
    if measure is not None:
        value = float(measure(cells.sum(axis=1)) - measure(cells.sum(axis=0)))
        values = measure(drawn.sum(axis=2)) - measure(drawn.sum(axis=1))
        values = values[np.isfinite(values)]
        if values.size:
            interval = float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))
    return _shown(
        settings, name, value, interval, favoured=favoured, minimum=minimum, maximum=maximum, why=why,
        n=int(cells.sum()),
    )  # fmt: skip


Measure = Callable[[NDArray[np.int64]], Floats]
"""Of one model's rows by decision and outcome, (…, 3, 2), to a number for each table; NaN where there is none."""


def _precision(part: NDArray[np.int64]) -> Floats:
    return _share(part[..., 2, 1], part[..., 2, :].sum(axis=-1))


def _recall(part: NDArray[np.int64]) -> Floats:
    return _share(part[..., 2, 1], part[..., 1].sum(axis=-1))


def _cost(costs: Costs) -> Measure | None:
    if costs.false_positive is None or costs.false_negative is None:
        return None
    positive, negative = costs.false_positive, costs.false_negative

    def measure(part: NDArray[np.int64]) -> Floats:
        cost = part[..., 2, 0] * positive + part[..., :2, 1].sum(axis=-1) * negative
        return 1000 * _share(cost, part.sum(axis=(-1, -2)))

    return measure


def _share(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    empty = np.full(np.shape(whole), np.nan)
    return np.divide(part, whole, out=empty, where=np.asarray(whole) > 0)


def _errors(cells: NDArray[np.int64]) -> Item:
    """McNemar's test, exact: of the rows on which only one model errs (declining good, or not declining bad),
    half would be the candidate's if both were as good."""
    declined = cells[2].copy(), cells[:, 2].copy()
    # Rows where exactly one declines: (candidate only, champion only), by outcome.
    mine = declined[0].sum(axis=0) - cells[2, 2]
    theirs = declined[1].sum(axis=0) - cells[2, 2]
    wrong, wrong_there = int(mine[0] + theirs[1]), int(theirs[0] + mine[1])
    total = wrong + wrong_there
    p = _binomial_two_sided(min(wrong, wrong_there), total) if total else math.nan
    why = f"only the candidate errs on {wrong:,} rows, only the champion on {wrong_there:,}"
    return judged("champion", "champion_errors_p", p, why=why, n=int(cells.sum()))


def _binomial_two_sided(fewer: int, total: int) -> float:
    """Probability of so few or fewer heads, or of so many, among fair coins."""
    log_half = total * math.log(0.5)
    terms = [
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) + log_half
        for k in range(fewer + 1)
    ]
    top = max(terms)
    return min(1.0, 2 * math.exp(top) * sum(math.exp(term - top) for term in terms))


def _table(cells: NDArray[np.int64]) -> list[dict[str, Any]]:
    return [
        {
            "champion": theirs,
            "candidate": mine,
            "rows": int(cells[i, j].sum()),
            "bad": int(cells[i, j, 1]),
            "bad_share": _number(cells[i, j, 1] / cells[i, j].sum() if cells[i, j].sum() else math.nan),
        }
        for j, theirs in enumerate(DECISIONS)
        for i, mine in enumerate(DECISIONS)
    ]


def _swapped(cells: NDArray[np.int64], costs: Costs) -> list[dict[str, Any]]:
    """Who is declined by one model only: what they turned out to be, and what that costs or saves."""
    found: list[dict[str, Any]] = []
    kinds: tuple[tuple[Literal["declined anew", "no longer declined"], NDArray[np.int64]], ...] = (
        ("declined anew", cells[2, :2].sum(axis=0)),
        ("no longer declined", cells[:2, 2].sum(axis=0)),
    )
    for name, (good, bad) in ((name, pair.tolist()) for name, pair in kinds):
        low, high = wilson(bad, good + bad)
        cost = None
        if costs.false_positive is not None and costs.false_negative is not None:
            sign = 1 if name == "declined anew" else -1
            cost = sign * (good * costs.false_positive - bad * costs.false_negative)
        found.append(
            {
                "rows_are": name,
                "rows": good + bad,
                "bad": bad,
                "bad_share": _number(bad / (good + bad) if good + bad else math.nan),
                "low": _number(low),
                "high": _number(high),
                "cost": cost,
            }
        )
    return found


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
