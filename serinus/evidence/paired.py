"""Shadow: both models answer the same request, so only the requests on which they differ say anything.

McNemar's test made sequential. Of the discordant pairs, those bad for the candidate alone against those bad
for the champion alone: if the candidate is no worse than the margin allows, the former are at most
margin/(1 + margin) of them. No traffic of the candidate's own is needed; it answers nobody.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from .grid import LOG_PRIOR
from .slo import log_ratios


class Pairs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requests answered by both.

    Args:
        agree: both bad or both good.
        worse: bad for the candidate alone.
        better: bad for the champion alone.
    """

    agree: Annotated[int, Meta(ge=0)] = 0
    worse: Annotated[int, Meta(ge=0)] = 0
    better: Annotated[int, Meta(ge=0)] = 0

    def add(self, *, champion_bad: bool, candidate_bad: bool) -> Pairs:
        """One more request."""
        if champion_bad == candidate_bad:
            return Pairs(self.agree + 1, self.worse, self.better)
        return Pairs(self.agree, self.worse + candidate_bad, self.better + champion_bad)


class PairedVerdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Outcome "harm", "clear", "undecided" or "no_data" (no discordant pair yet), with its numbers in
    words."""

    outcome: str
    log10_harm: float
    log10_clear: float
    reason: str


def log10_paired(pairs: Pairs, margin: float, direction: int) -> float:
    """log10 e-value that the odds worse:better are beyond the margin (+1), or within it (-1).

    Valid at every look: each discordant pair is one Bernoulli trial, taken in one by one.
    """
    n = pairs.worse + pairs.better
    ratios = log_ratios(n, pairs.worse, margin / (1 + margin), direction)
    # Harm is most often large; a good candidate is most often near the margin's inner side: weigh all alike.
    prior = LOG_PRIOR if direction > 0 else np.full(len(ratios), -math.log(len(ratios)))
    return float(np.logaddexp.reduce(prior + ratios)) / math.log(10)


def judge_pairs(
    pairs: Pairs, *, alpha: float = 0.01, beta: float = 0.05, margin: float = 1.25
) -> PairedVerdict:
    """The verdict on a candidate in the shadow.

    Args:
        alpha: chance that a candidate within the margin is ever called harmful.
        beta: chance that one beyond it is ever cleared.
        margin: tolerated odds of "worse" to "better" among the pairs that differ.
    """
    harm, clear = log10_paired(pairs, margin, 1), log10_paired(pairs, margin, -1)
    n = pairs.worse + pairs.better
    seen = (
        f"of {n} requests on which the models differ, the candidate alone was bad in {pairs.worse} and the "
        f"champion alone in {pairs.better} ({pairs.agree} agree)"
    )
    if n == 0:
        return PairedVerdict(
            "no_data", harm, clear, f"No request yet on which the models differ ({pairs.agree} agree)."
        )
    if harm >= -math.log10(alpha):
        return PairedVerdict("harm", harm, clear, f"The candidate is worse: {seen}.")
    if clear >= -math.log10(beta):
        return PairedVerdict("clear", harm, clear, f"The candidate is within {margin:g} times: {seen}.")
    return PairedVerdict("undecided", harm, clear, f"Not enough to tell: {seen}.")
