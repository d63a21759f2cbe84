"""What a look's evaluation says, as metrics, /status and alerts carry it."""

from __future__ import annotations

from typing import Literal

import msgspec

from serinus.watching import Effect, ShareReport

Status = Literal["stable", "drift", "no_data"]
Quality = Literal["good", "bad", "no_data"]


class TestResult(msgspec.Struct, frozen=True, kw_only=True):
    """One column of the last window that was tested: rows present, p-value and the test's own distance."""

    __test__ = False  # not a test of ours, whatever pytest thinks of its name

    rows: int
    p_value: float | None = None
    distance: float | None = None
    effect: Effect | None = None


class ColumnVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One feature, or the score.

    ``no_data`` says that nothing can be said, and ``reason`` why: it is neither stable nor drifted. Evidence is log10
    of the e-value. ``effect`` is of the shortest recent span that can tell the band from chance, ``psi_limit`` what its
    PSI has to exceed. Shares are of the last looks' rows. ``test`` is the second opinion.
    """

    name: str
    status: Status
    reason: str
    rows: int = 0
    evidence_log10: float | None = None
    effect: Effect | None = None
    psi_limit: float | None = None
    test: TestResult | None = None
    quality: Quality = "no_data"
    missing_ratio: float | None = None
    unknown_ratio: float | None = None
    outside_ratio: float | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One look of one predictor.

    Args:
        rows: rows of the look, refused ones included; ``refused`` of them.
        looks: looks that the evidence rests on.
        evidence_log10: of all columns together; ``column_threshold_log10`` is what a column's is held against.
        p_threshold: what each p-value of the window tests is held against.
        shares: every share of bad values, with the evidence that it has risen; ``quality_threshold_log10`` is
            what that is held against.
        quality_score: 1 is as clean as the reference; the largest rise of a share, taken from 1. None without rows.
    """

    predictor: str
    rows: int
    refused: int
    looks: int
    evidence_log10: float
    column_threshold_log10: float
    quality_threshold_log10: float
    p_threshold: float
    features: tuple[ColumnVerdict, ...]
    score: ColumnVerdict
    quality: Quality
    quality_score: float | None
    quality_reason: str
    shares: tuple[ShareReport, ...] = ()

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the features that drifted."""
        return tuple(column.name for column in self.features if column.status == "drift")

    @property
    def feature_status(self) -> Status:
        """Drift if any feature drifted; no data if none could be judged."""
        if self.drifted:
            return "drift"
        return "stable" if any(c.status == "stable" for c in self.features) else "no_data"

    @property
    def calls_for_retraining(self) -> bool:
        """Drift in data that are sound. New data of bad quality would train a worse model."""
        return self.quality != "bad" and (self.feature_status == "drift" or self.score.status == "drift")
