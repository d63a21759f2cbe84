"""What reviews and wrong decisions come to: load, overrides, false positives saved, cost per decision. Pure.

Each figure is absent where nothing is known, never zero. The formulas are in docs/review.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from serinus.contract import Decision
from serinus.watching.performance import Figure

Z = 1.959963984540054
"""Of a 95 % interval."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """``n`` decisions that are alike: what was decided, what a person answered (True is bad), which way the model
    leaned then, what came of it, and when the first of them was (Unix seconds)."""

    decision: str
    n: int
    answer: bool | None = None
    leaning: bool | None = None
    bad: bool | None = None
    oldest: float = 0.0


class Business(msgspec.Struct, frozen=True, kw_only=True):
    """One predictor's figures.

    ``load``: referred share of the latest decisions. ``waiting`` cases without an answer, the oldest decided at
    ``oldest``. ``answers``: (answer, leaning) → answers. ``override``: share of the answers against the model's
    leaning. ``saved``: good ones that the model would have taken for bad, and a person did not. ``cost`` of a
    decision with its 95 % interval, over ``cost_rows`` decisions.
    """

    load: float | None
    waiting: int
    oldest: float | None
    answers: dict[str, int]
    override: float | None
    saved: int | None
    cost: Figure | None
    cost_rows: int


def business(
    rule: Decision,
    *,
    latest: tuple[int, int],
    referred: Sequence[Cell],
    settled: Sequence[Cell],
    min_rows: int,
) -> Business:
    """The figures.

    Args:
        latest: of the latest decisions, (all, referred).
        referred: those referred to a person, answered or not.
        settled: labelled decisions old enough for their labels, good and bad alike.
        min_rows: settled decisions before their cost is told.
    """
    waiting = [cell for cell in referred if cell.answer is None]
    answered = [cell for cell in referred if cell.answer is not None]
    total = sum(cell.n for cell in answered)
    answers: dict[str, int] = {}
    for cell in answered:
        key = f"{_word(cell.answer)}/{_word(cell.leaning)}"
        answers[key] = answers.get(key, 0) + cell.n
    against = sum(cell.n for cell in answered if cell.answer != cell.leaning)
    saved = sum(cell.n for cell in answered if cell.leaning and not cell.answer and cell.bad is False)
    costs = [(cost, cell.n) for cell in settled if (cost := _cost(rule, cell)) is not None]
    rows = sum(n for _, n in costs)
    return Business(
        load=latest[1] / latest[0] if latest[0] else None,
        waiting=sum(cell.n for cell in waiting),
        oldest=min((cell.oldest for cell in waiting), default=None),
        answers=answers,
        override=against / total if total else None,
        saved=saved if total else None,
        cost=_mean(costs) if rows >= min_rows else None,
        cost_rows=rows,
    )


def _cost(rule: Decision, cell: Cell) -> float | None:
    """What one such decision cost; None where costs or the outcome are not known, or nobody has answered."""
    wrong_decline, wrong_approval = rule.cost_false_positive, rule.cost_false_negative
    if wrong_decline is None or wrong_approval is None or cell.bad is None:
        return None
    look = 0.0
    declined = cell.decision == "decline"
    if cell.decision == "review":
        if cell.answer is None:
            return None
        declined, look = cell.answer, rule.cost_review or 0.0
    wrong = 0.0 if declined == cell.bad else wrong_decline if declined else wrong_approval
    return wrong + look


def _mean(costs: Sequence[tuple[float, int]]) -> Figure:
    """Mean with its normal 95 % interval; the values are few and bounded, the rows many."""
    n = sum(count for _, count in costs)
    mean = sum(cost * count for cost, count in costs) / n
    spread = sum(count * (cost - mean) ** 2 for cost, count in costs) / max(n - 1, 1)
    half = Z * math.sqrt(spread / n)
    return Figure(mean, max(0.0, mean - half), mean + half, n)


def _word(bad: bool | None) -> str:
    return "bad" if bad else "good"
