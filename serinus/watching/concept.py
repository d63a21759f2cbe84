"""Is the model worse than at validation? Evidence from delayed labels, valid whenever one looks.

Four questions to each labelled row, each a null hypothesis on its mean given the past:

- ``loss``: the squared error is at most that of validation plus a margin;
- ``precision``: a flagged row is a miss with at most the probability of validation plus a margin;
- ``underestimates``: a row of probability p turns out positive with at most p (1 + margin);
- ``overestimates``: with at least p (1 - margin).

The first two bet on a bounded mean (Waudby-Smith and Ramdas 2024): 1 + b (x - m) has mean at most 1 if x in [0, 1] has
mean at most m, for 0 <= b <= 1/m. The others are likelihood ratios of a Bernoulli trial, monotone in its probability.
Products over rows are e-processes under any dependence, since each null is on the mean given the past; labels must be
taken in an order that does not depend on their values (all of a day at once, not frauds first).
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np

from serinus.errors import SerinusError

from .bins import Floats
from .laws import normal_isf
from .performance import realised

Question = Literal["loss", "precision", "underestimates", "overestimates"]
QUESTIONS: tuple[Question, ...] = ("loss", "precision", "underestimates", "overestimates")
_BETS = (0.003, 0.01, 0.03, 0.1, 0.3)  # of the largest bet that cannot go broke
_RATIOS = (1.15, 1.4, 2.0, 4.0, 10.0)
_LOG10 = math.log(10)


class Validation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the model was worth when it was approved, upper bounds of the sampling error included.

    ``loss`` and ``misses`` are 99 % upper bounds on the mean squared error and on the share of false alerts among
    the flagged; ``misses`` is None if none was flagged.
    """

    threshold: float
    loss: float
    misses: float | None
    rows: int


def validated(probabilities: Floats, labels: Floats, threshold: float) -> Validation:
    """The yardstick from rows (n,) of validation that the model was not fitted on.

    Raises:
        SerinusError: SRN-WATCHING-006 if there are fewer than 30 rows.
    """
    seen = realised(probabilities, labels, threshold)
    if seen.brier is None:
        raise SerinusError(
            "SRN-WATCHING-006", f"{seen.rows} rows of validation", hint="Give at least 30 labelled rows."
        )
    # From the 95 % band to a 99 % upper bound.
    wider = normal_isf(0.01) / normal_isf(0.025)
    loss = seen.brier.value + wider * (seen.brier.high - seen.brier.value)
    misses = None
    if seen.precision is not None:
        misses = min(1.0, 1 - seen.precision.value + wider * (seen.precision.value - seen.precision.low))
    return Validation(threshold=threshold, loss=loss, misses=misses, rows=seen.rows)


class ConceptPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much worse is worse.

    Args:
        loss_margin: rise of the squared error, as a share of validation's.
        precision_margin: fall of precision, absolute.
        calibration_margin: relative error of probabilities.
        alpha: probability that evidence ever claims a loss of a model that has none.
        run_length: batches of labels between false alarms, on average at least.
    """

    loss_margin: float = 0.2
    precision_margin: float = 0.05
    calibration_margin: float = 0.2
    alpha: float = 0.01
    run_length: float = 365.0


class ConceptEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What survives a restart: logs by question and bet, since the start (``ever``) and since any onset (``since``)."""

    batches: int = 0
    rows: int = 0
    ever: tuple[tuple[float, ...], ...] = ((0.0,) * len(_BETS),) * len(QUESTIONS)
    since: tuple[tuple[float, ...], ...] = ((0.0,) * len(_BETS),) * len(QUESTIONS)


class ConceptReport(msgspec.Struct, frozen=True, kw_only=True):
    """What labels say.

    ``ever_log10_e`` may be held against ``ever_threshold_log10`` (1/alpha) at any time and is for a model on trial;
    ``log10_e`` against ``threshold_log10`` is for permanent watch: it forgets good times, and has the run length.
    ``worse`` names the questions answered by either.
    """

    rows: int
    worse: tuple[Question, ...]
    ever_log10_e: dict[Question, float]
    ever_threshold_log10: float
    log10_e: dict[Question, float]
    threshold_log10: float


class Concept:
    """The e-processes of one model; prepared once."""

    def __init__(self, plan: ConceptPlan, validation: Validation) -> None:
        self.plan, self.validation = plan, validation
        self._loss = min(1.0, validation.loss * (1 + plan.loss_margin))
        self._misses = min(1.0, (validation.misses or 0.0) + plan.precision_margin)
        # Beyond this, evidence would only be slow to fade once the model is well again.
        self._ceiling = math.log(10 * plan.run_length * len(QUESTIONS) * len(_BETS))

    def start(self) -> ConceptEvidence:
        """Evidence before the first label."""
        return ConceptEvidence()

    def update(self, evidence: ConceptEvidence, probabilities: Floats, labels: Floats) -> ConceptEvidence:
        """Takes in a batch of rows (n,) whose labels have arrived: probability as answered, label 0 or 1."""
        if not labels.size:
            return evidence
        p = np.clip(probabilities, 1e-9, 1 - 1e-9)
        flagged = probabilities >= self.validation.threshold
        judged = flagged if self.validation.misses is not None else np.zeros_like(flagged)
        margin = self.plan.calibration_margin
        gains = np.stack(
            [
                _bounded((labels - probabilities) ** 2, self._loss),
                _bounded(1 - labels[judged], self._misses),
                _above(labels, np.minimum(p * (1 + margin), 1.0)),
                _above(1 - labels, np.minimum(1 - p * (1 - margin), 1.0)),
            ]
        )
        ever = np.asarray(evidence.ever) + gains
        since = np.maximum(np.asarray(evidence.since), 0.0) + gains
        return ConceptEvidence(
            batches=evidence.batches + 1,
            rows=evidence.rows + labels.size,
            ever=tuple(map(tuple, ever.tolist())),
            since=tuple(map(tuple, np.clip(since, -50.0, self._ceiling).tolist())),
        )

    def judge(self, evidence: ConceptEvidence) -> ConceptReport:
        """Where the model is worse than at validation, by more than the margins."""
        ever, since = (
            (np.logaddexp.reduce(np.asarray(logs), axis=1) - math.log(len(_BETS))) / _LOG10
            for logs in (evidence.ever, evidence.since)
        )
        # The questions share alpha and the run length: their mean is an e-process too.
        shared = math.log10(len(QUESTIONS))
        once = -math.log10(self.plan.alpha) + shared
        again = math.log10(self.plan.run_length) + shared
        return ConceptReport(
            rows=evidence.rows,
            worse=tuple(
                q
                for q, e, s in zip(QUESTIONS, ever.tolist(), since.tolist(), strict=True)
                if e >= once or s >= again
            ),
            ever_log10_e=dict(zip(QUESTIONS, ever.tolist(), strict=True)),
            ever_threshold_log10=once,
            log10_e=dict(zip(QUESTIONS, since.tolist(), strict=True)),
            threshold_log10=again,
        )


def _bounded(x: Floats, mean: float) -> Floats:
    """Log of the product over rows of 1 + b (x - m), one entry per bet."""
    if not x.size or mean >= 1:
        return np.zeros(len(_BETS))
    bets = np.asarray(_BETS) / mean
    return np.log1p(bets[:, None] * (x - mean)).sum(axis=1)


def _above(y: Floats, null: Floats) -> Floats:
    """Log of the likelihood ratio of a larger probability to ``null``, one entry per alternative."""
    odds = np.asarray(_RATIOS)[:, None] * null
    alternative = odds / (1 - null + odds)
    # Where nothing larger is possible, nothing is bet.
    open_ = null < 1 - 1e-12
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = y * np.log(alternative / null) + (1 - y) * np.log((1 - alternative) / (1 - null))
    return np.where(open_, gain, 0.0).sum(axis=1)
