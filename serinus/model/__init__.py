"""Scoring and explaining: what training and serving must do alike."""

from serinus.model.calibration import Calibrator, fit_isotonic, fit_logistic
from serinus.model.decision import Answer, ReasonCode, decide, reason_codes
from serinus.model.levels import Levels, learn_levels, level_kind
from serinus.model.vector import FieldError, Vectorizer

__all__ = [
    "Answer",
    "Calibrator",
    "FieldError",
    "Levels",
    "ReasonCode",
    "Vectorizer",
    "decide",
    "fit_isotonic",
    "fit_logistic",
    "learn_levels",
    "level_kind",
    "reason_codes",
]
