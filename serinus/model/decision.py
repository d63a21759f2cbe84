"""From a probability to a decision with its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.contract import Contract

Verdict = Literal["approve", "review", "decline"]


class ReasonCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One reason for an adverse decision.

    ``contribution`` is what the feature added to the log-odds of the bad
    outcome; ``text`` is the contract's sentence for it.
    """

    code: str
    feature: str
    text: str
    contribution: float


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What the caller gets: raw score, calibrated probability, decision, reasons."""

    score: float
    probability: float
    decision: Verdict
    reasons: tuple[ReasonCode, ...] = ()


def decide(contract: Contract, probability: float) -> Verdict:
    """The decision at the contract's thresholds (at or above counts as above)."""
    rule = contract.decision
    if probability >= rule.decline_at:
        return "decline"
    if rule.review_at is not None and probability >= rule.review_at:
        return "review"
    return "approve"


class Reasons:
    """Reason codes by a contract: the features that pushed most towards the bad outcome.

    Only adverse (positive) contributions are reasons. Features that share a reason text
    count once, by their sum, so that four windows over one fact do not use up all four
    reasons; the strongest of them names it. At most ``decision.max_reasons`` are given,
    strongest first (Reg. B comment 9(b)(2)-1: more than four are not likely to be helpful).
    """

    def __init__(self, contract: Contract) -> None:
        self._names = contract.feature_names
        self._texts = tuple(f.reason or f.description or f.name for f in contract.features)
        self._codes = tuple(f"R{i + 1:02d}" for i in range(len(self._names)))
        self._most = contract.decision.max_reasons
        self._shared = len(set(self._texts)) < len(self._texts)

    def __call__(self, contributions: Sequence[float]) -> tuple[ReasonCode, ...]:
        """Reasons for one row of log-odds contributions, F of them or F + 1 with the base
        value last, which is left out."""
        positions = range(len(self._names))
        if self._shared:
            ranked = self._grouped(contributions)
        else:
            ranked = [
                (-value, text, i)
                for value, text, i in zip(contributions, self._texts, positions, strict=False)
                if value > 0
            ]
        ranked.sort()
        return tuple(
            ReasonCode(self._codes[i], self._names[i], text, round(-total, 6))
            for total, text, i in ranked[: self._most]
        )

    def _grouped(self, contributions: Sequence[float]) -> list[tuple[float, str, int]]:
        totals: dict[str, float] = {}
        strongest: dict[str, tuple[float, int]] = {}
        for i, text in enumerate(self._texts):
            value = contributions[i]
            totals[text] = totals.get(text, 0.0) + value
            if text not in strongest or value > strongest[text][0]:
                strongest[text] = (value, i)
        return [(-total, text, strongest[text][1]) for text, total in totals.items() if total > 0]


def reason_codes(contract: Contract, contributions: NDArray[np.float64]) -> tuple[ReasonCode, ...]:
    """``Reasons`` of one row, shape (F,) or (F + 1,)."""
    return Reasons(contract)(contributions.tolist())
