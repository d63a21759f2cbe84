"""A bundle made ready to answer: vectors in, decisions with reasons out."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serinus.bundle.read import Bundle
from serinus.errors import SerinusError
from serinus.model.answers import Answers
from serinus.model.booster import Ensemble
from serinus.model.decision import Answer, ReasonCode, Verdict, decide, reason_codes
from serinus.model.vector import Vectorizer

Floats = NDArray[np.float64]
Explain = Literal["always", "adverse", "never"]


class Scorer:
    """The one way a score comes about, in the scorer, the pipeline and an audit alike.

    Args:
        bundle: an opened, hence verified, bundle.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.contract = bundle.contract
        self.digest = bundle.digest
        self.version = bundle.version
        self.name = bundle.name
        self.vectorizer = Vectorizer(bundle.contract, bundle.levels)
        self._calibrator = bundle.calibrator
        self._ensemble = Ensemble(
            bundle.model_text, features=len(bundle.contract.features), where=str(bundle.path / "model.txt")
        )

    def probabilities(self, rows: Floats) -> tuple[Floats, Floats]:
        """Raw and calibrated probability, each of shape (n,), for rows (n, F)."""
        raw = self._ensemble.probability(rows)
        return raw, self._calibrator.apply(raw)

    def contributions(self, rows: Floats) -> Floats:
        """Exact TreeSHAP in log-odds, shape (n, F + 1), base value last."""
        return self._ensemble.contributions(rows)

    def one(self, vector: Floats, explain: Explain = "adverse") -> Answer:
        """The answer to one encoded row, shape (F,); as ``score``, without its overhead."""
        return self.many(vector.reshape(1, -1), explain)[0]

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
        verdicts: list[Verdict] = [decide(self.contract, p) for p in calibrated.tolist()]
        reasons: list[tuple[ReasonCode, ...]] = [()] * len(verdicts)
        explained = [
            i
            for i, v in enumerate(verdicts)
            if explain == "always" or (explain == "adverse" and v != "approve")
        ]
        if explained:
            for i, row in zip(explained, self.contributions(rows[explained]), strict=True):
                reasons[i] = reason_codes(self.contract, row)
        return Answers(raw, calibrated, verdicts, reasons)

    def _unusable(self, row: int, probability: float) -> SerinusError:
        return SerinusError(
            "SRN-SCORE-001",
            f"the model gave no usable probability for row {row} ({probability})",
            where=f"{self.name} v{self.version}",
            hint="Its model or calibrator is faulty; roll it back and read its validation report.",
        )

    def self_test(self, tolerance: float = 1e-9) -> None:
        """Score the bundle's golden rows and compare with what training recorded.

        Raises:
            SerinusError: ``SRN-SCORE-002`` if any probability differs by more
                than ``tolerance``: this machine or library does not score as
                the one that validated the model did.
        """
        rows, expected = self.bundle.golden_rows, self.bundle.golden_scores
        if rows.shape[0] == 0:
            return
        worst = float(np.max(np.abs(self.probabilities(rows)[1] - expected)))
        if not worst <= tolerance:
            raise SerinusError(
                "SRN-SCORE-002",
                f"golden rows score differently here: largest difference {worst:g}, allowed {tolerance:g}",
                where=f"{self.name} v{self.version}",
                hint="Serve with the locked library versions that built the bundle (see its provenance).",
            )
