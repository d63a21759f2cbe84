"""What an answer means by the contract, and which way the model leaned. Pure."""

from __future__ import annotations

import msgspec

from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.features.values import canonical

BAD, GOOD = "bad", "good"


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A person's answer as outcomes read it: a line of ``<model>.review.feedback.jsonl``.

    It is an outcome like those that come by the scorer's feedback endpoint (``truth`` holds one row
    of 1, the bad outcome, or 0), and beside it says which way the model leaned (1 or 0).
    """

    request_id: str
    time: str
    leaning: int
    truth: list[list[int]]
    predictor: str = "review"


def leaning(contract: Contract, probability: float) -> bool:
    """Whether the model, with nobody to ask, would have taken the outcome for the bad one.

    With both costs in the contract: whether to decline would be cheaper, ``p · cost_false_negative >
    (1 - p) · cost_false_positive``. Else: whether the bad outcome is the likelier one, ``p >= 0.5``.
    """
    rule = contract.decision
    wrong_decline, wrong_approval = rule.cost_false_positive, rule.cost_false_negative
    if wrong_decline is None or wrong_approval is None:
        return probability >= 0.5
    return probability * wrong_approval > (1 - probability) * wrong_decline


def words_of(contract: Contract) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words that mean the bad outcome, and the good one: the contract's own, its label's values, bad and good."""
    label = contract.label
    bad = (*label.positive_words, str(label.positive), BAD)
    good = (*label.negative_words, *(["0"] if canonical(label.positive) == "1" else []), GOOD)
    return tuple(dict.fromkeys(bad)), tuple(dict.fromkeys(good))


def answer_of(contract: Contract, text: str) -> bool:
    """Whether an answer means the bad outcome.

    Raises:
        SerinusError: ``SRN-QUEUE-004`` it is no word of the contract, with those that are.
    """
    said = text.strip().lower()
    bad, good = words_of(contract)
    for meaning, words in ((True, bad), (False, good)):
        # As in the records, Y, yes, true and 1 are one value.
        if said in {word.lower() for word in words} or canonical(said) in {canonical(word) for word in words}:
            return meaning
    raise SerinusError(
        "SRN-QUEUE-004",
        f"{text!r} is no answer about {contract.label.column}",
        where=f"contract {contract.name}",
        hint=f"Say {' or '.join(bad)} for the bad outcome, {' or '.join(good)} for the good one.",
    )
