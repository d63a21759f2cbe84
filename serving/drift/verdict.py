"""What a window's evaluation says, as metrics, /status and alerts carry it."""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["stable", "drift", "no_data"]
Quality = Literal["good", "bad", "no_data"]


class ColumnVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One feature, or the score.

    ``no_data`` says that nothing can be said, and ``reason`` why: it is neither
    stable nor drifted. ``rows`` are the values that were present. ``psi_limit``
    is what PSI had to exceed. Ratios are of the window's accepted rows;
    ``missing_p_value`` tests a risen share of missing or unknown values.
    """

    name: str
    status: Status
    reason: str
    rows: int
    p_value: float | None = None
    distance: float | None = None
    psi: float | None = None
    psi_limit: float | None = None
    quality: Quality = "no_data"
    missing_ratio: float | None = None
    reference_missing_ratio: float | None = None
    unknown_ratio: float | None = None
    missing_p_value: float | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One window of one predictor. ``p_threshold`` is what each p-value was held against."""

    predictor: str
    rows: int
    refused: int
    p_threshold: float
    features: tuple[ColumnVerdict, ...]
    score: ColumnVerdict
    quality: Quality
    quality_score: float | None
    """1 is as clean as the reference; the worst of refused rows and of any feature's
    excess of missing or unknown values, taken from 1. None without rows."""
    quality_reason: str

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
