"""From a probability to a decision with its reasons."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.contract import Contract

Verdict = Literal["approve", "review", "decline"]


class ReasonCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One reason for an adverse decision.

    ``contribution`` is what the feature added to the log-odds of the bad
    outcome; ``text`` is the contract's sentence for it.
    """

    code: str
    feature: str
    text: str
    contribution: float


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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


def reason_codes(contract: Contract, contributions: NDArray[np.float64]) -> tuple[ReasonCode, ...]:
    """The features that pushed most towards the bad outcome, strongest first.

    Args:
        contributions: one row of log-odds contributions, shape (F,) or (F + 1,)
            with the base value last, which is left out.

    Only adverse (positive) contributions are reasons. Features that share a
    reason text count once, by their sum, so that four windows over one fact do
    not use up all four reasons. At most ``decision.max_reasons`` are given
    (Reg. B comment 9(b)(2)-1: more than four are not likely to be helpful).
    """
    totals: dict[str, float] = {}
    strongest: dict[str, tuple[float, int]] = {}
    for i, feature in enumerate(contract.features):
        text = feature.reason or feature.description or feature.name
        value = float(contributions[i])
        totals[text] = totals.get(text, 0.0) + value
        if text not in strongest or value > strongest[text][0]:
            strongest[text] = (value, i)
    ranked = sorted((item for item in totals.items() if item[1] > 0), key=lambda item: (-item[1], item[0]))
    return tuple(
        ReasonCode(
            code=f"R{strongest[text][1] + 1:02d}",
            feature=contract.features[strongest[text][1]].name,
            text=text,
            contribution=round(total, 6),
        )
        for text, total in ranked[: contract.decision.max_reasons]
    )
