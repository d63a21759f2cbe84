"""A bundle made ready to answer: vectors in, decisions with reasons out."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from math import inf
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.bundle.read import Bundle
from serinus.errors import SerinusError
from serinus.model.answers import Answers
from serinus.model.decision import Answer, ReasonCode, Reasons, Verdict
from serinus.model.ensemble import BUDGET, Backend, Ensemble, Warn, load_ensemble, load_library, slower
from serinus.model.portable import is_portable
from serinus.model.vector import Vectorizer

Floats = NDArray[np.float64]
Explain = Literal["always", "adverse", "never"]
VERDICTS: tuple[Verdict, ...] = ("approve", "review", "decline")


def to_stderr(warning: SerinusError) -> None:
    """A warning as one JSON line on stderr."""
    sys.stderr.write(msgspec.json.encode({"level": "warning", **warning.to_dict()}).decode() + "\n")
    sys.stderr.flush()


class Scorer:
    """The one way a score comes about, in the scorer, the pipeline and an audit alike.

    Args:
        bundle: an opened, hence verified, bundle.
        warn: told, once, why the compiled kernel does not serve this model, if it does not.
        budget: bytes that the compiled kernel may take for the trees; LightGBM itself serves
            a model that needs more.
    """

    def __init__(self, bundle: Bundle, *, warn: Warn = to_stderr, budget: int = BUDGET) -> None:
        self.bundle = bundle
        self.contract = bundle.contract
        self.digest = bundle.digest
        self.version = bundle.version
        self.name = bundle.name
        self.vectorizer = Vectorizer(bundle.contract, bundle.levels)
        self._calibrator = bundle.calibrator
        self._calibrate = bundle.calibrator.one()
        self._reasons = Reasons(bundle.contract)
        rule = bundle.contract.decision
        self._decline_at = rule.decline_at
        self._review_at = rule.adverse_at
        self._warn = warn
        self._where = str(bundle.path / "model.txt")
        self._use(
            load_ensemble(
                bundle.model_text,
                features=len(bundle.contract.features),
                where=self._where,
                warn=warn,
                budget=budget,
            )
        )

    def _use(self, ensemble: Ensemble) -> None:
        self._ensemble = ensemble
        self._probability_of = ensemble.probability_of
        self._contributions_of = ensemble.contributions_of

    @property
    def backend(self) -> Backend:
        """What computes: ``native``, the compiled kernel, or ``library``, LightGBM itself or numpy."""
        return self._ensemble.backend

    def probabilities(self, rows: Floats) -> tuple[Floats, Floats]:
        """Raw and calibrated probability, each of shape (n,), for rows (n, F)."""
        raw = self._ensemble.probability(rows)
        return raw, self._calibrator.apply(raw)

    def contributions(self, rows: Floats) -> Floats:
        """Exact contributions, shape (n, F + 1), base value last: in log-odds, of a forest in probability."""
        return self._ensemble.contributions(rows)

    def one(self, vector: Floats, explain: Explain = "adverse") -> Answer:
        """The answer to one encoded row, contiguous, shape (F,): ``score`` without the cost of a batch.

        Raises: as ``many``.
        """
        raw = self._probability_of(vector)
        probability = self._calibrate(raw)
        if not -inf < probability < inf:
            raise self._unusable(0, probability)
        verdict: Verdict = (
            "decline"
            if probability >= self._decline_at
            else "review"
            if probability >= self._review_at
            else "approve"
        )
        if explain == "never" or (verdict == "approve" and explain == "adverse"):
            return Answer(raw, probability, verdict)
        return Answer(raw, probability, verdict, self._reasons(self._contributions_of(vector)))

    def score(self, rows: Floats, explain: Explain = "adverse") -> list[Answer]:
        """Answers for encoded rows of shape (n, F). As ``many``, one object a row."""
        return list(self.many(rows, explain))

    def many(self, rows: Floats, explain: Explain = "adverse") -> Answers:
        """Answers for encoded rows of shape (n, F), by column.

        Args:
            explain: reasons for every row, for those not approved, or for none.

        Raises:
            SerinusError: ``SRN-SCORE-001`` if the model yields a probability
                that is not a number; a decision must never rest on one.
        """
        raw, calibrated = self.probabilities(rows)
        if not np.isfinite(calibrated).all():
            row = int(np.flatnonzero(~np.isfinite(calibrated))[0])
            raise self._unusable(row, float(calibrated[row]))
        levels = (calibrated >= self._review_at).astype(np.int8) + (calibrated >= self._decline_at)
        verdicts = [VERDICTS[level] for level in levels.tolist()]
        reasons: list[tuple[ReasonCode, ...]] = [()] * len(verdicts)
        if explain != "never":
            explained = np.flatnonzero(levels) if explain == "adverse" else np.arange(levels.size)
            if explained.size:
                found = self.contributions(rows[explained]).tolist()
                for i, row in zip(explained.tolist(), found, strict=True):
                    reasons[i] = self._reasons(row)
        return Answers(raw, calibrated, verdicts, reasons)

    def _unusable(self, row: int, probability: float) -> SerinusError:
        return SerinusError(
            "SRN-SCORE-001",
            f"the model gave no usable probability for row {row} ({probability})",
            where=f"{self.name} v{self.version}",
            hint="Its model or calibrator is faulty; roll it back and read its validation report.",
        )

    def self_test(self, tolerance: float = 1e-9, explained: float = 1e-6) -> None:
        """Score and explain the bundle's golden rows and compare with what training recorded.

        Where the kernel differs it is put aside, with a warning, and LightGBM itself serves,
        if that agrees. A bundle without recorded contributions has its explanations compared
        with LightGBM's, where LightGBM is installed.

        Args:
            tolerance: of calibrated probabilities.
            explained: of contributions, in log-odds.

        Raises:
            SerinusError: ``SRN-SCORE-002`` if any probability differs by more than
                ``tolerance``: this machine or library does not score as the one that
                validated the model did; ``-003`` if any contribution differs by more than
                ``explained``.
        """
        if self.bundle.golden_rows.shape[0] == 0:
            return
        try:
            self._compare(tolerance, explained)
        except SerinusError as difference:
            if self.backend == "library":
                raise
            self._use(load_library(self.bundle.model_text, where=self._where))
            self._compare(tolerance, explained)
            self._warn(slower(difference.what, self._where))

    def _compare(self, tolerance: float, explained: float) -> None:
        rows = self.bundle.golden_rows
        worst = _apart(self.probabilities(rows)[1], self.bundle.golden_scores)
        if not worst <= tolerance:
            raise SerinusError(
                "SRN-SCORE-002",
                f"golden rows score differently here: largest difference {worst:g}, allowed {tolerance:g}",
                where=f"{self.name} v{self.version}",
                hint="Serve with the locked library versions that built the bundle (see its provenance).",
            )
        expected = self.bundle.golden_contributions
        if expected is None:
            needs = not is_portable(self.bundle.model_text)
            if self.backend == "library" or (needs and find_spec("lightgbm") is None):
                return
            expected = load_library(self.bundle.model_text, where=self._where).contributions(rows)
        worst = _apart(self.contributions(rows), expected)
        if not worst <= explained:
            raise SerinusError(
                "SRN-SCORE-003",
                f"golden rows are explained differently here: largest difference {worst:g}, allowed {explained:g}",
                where=f"{self.name} v{self.version}",
                hint="Serve with the locked library versions that built the bundle (see its provenance).",
            )


def _apart(found: Floats, expected: Floats) -> float:
    """The largest difference; infinite if the shapes differ or only one side is a number."""
    if found.shape != expected.shape or not np.array_equal(np.isnan(found), np.isnan(expected)):
        return inf
    return float(np.nanmax(np.abs(found - expected), initial=0.0))
