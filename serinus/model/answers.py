"""Answers to a batch, held by column so that 1,000 rows do not cost 1,000 objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serinus.model.decision import Answer, ReasonCode, Verdict

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What ``Scorer.many`` gives for n rows; row i as an ``Answer`` is ``answers[i]``.

    Attributes:
        score: raw probabilities, shape (n,).
        probability: calibrated probabilities, shape (n,), all finite.
        decision: n verdicts.
        reasons: n tuples, empty where no reasons were asked for.
    """

    score: Floats
    probability: Floats
    decision: list[Verdict]
    reasons: list[tuple[ReasonCode, ...]]

    def __len__(self) -> int:
        return len(self.decision)

    def __getitem__(self, index: int) -> Answer:
        return Answer(
            score=float(self.score[index]),
            probability=float(self.probability[index]),
            decision=self.decision[index],
            reasons=self.reasons[index],
        )

    def __iter__(self) -> Iterator[Answer]:
        columns = zip(
            self.score.tolist(), self.probability.tolist(), self.decision, self.reasons, strict=True
        )
        return (Answer(*row) for row in columns)
