"""Thresholds of the tests that watch a column row by row: computed once, kept with the bundle.

    calibration = calibrate(contract, levels, reference_rows, reference_scores)     # where the bundle is built
    bundle.online.stream("amount").reference, bundle.online.thresholds(...)         # where it is watched

The tests are those of Alibi Detect's ``CVMDriftOnline`` and ``FETDriftOnline``, so its detectors take these thresholds
in place of their own. Pure numpy: neither Alibi Detect nor its numba is needed to build a bundle.
"""

from .calibrate import calibrate
from .kinds import DECISION, Kind, kind_of
from .types import Calibration, OnlinePlan, Stream

__all__ = ["DECISION", "Calibration", "Kind", "OnlinePlan", "Stream", "calibrate", "kind_of"]
