"""Alibi Detect behind the detector port: the only module that imports it.

The import takes seconds (it brings numba, transformers and scipy), so whoever
uses this module does so at start, before reporting ready.
"""

from __future__ import annotations

import logging
import os
import warnings
from typing import Any

import numpy as np

from serving.drift.detector import TwoSample
from serving.drift.statistics import Floats

# Alibi Detect drags transformers in, which announces on stderr that no deep-learning library is there.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
logging.getLogger("transformers").setLevel(logging.ERROR)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from alibi_detect.cd import ChiSquareDrift, KSDrift


class AlibiDetector:
    """``KSDrift`` for a column of numbers, ``ChiSquareDrift`` for one of levels.

    One detector per column rather than one ``TabularDrift`` for all: the
    missing values of a column are taken out, and each column may have its own
    number of them. Alibi's own threshold is not used; the false-alarm budget
    decides (policy.py), so nothing changes when a detector is rebuilt.
    """

    def __init__(self, categorical: bool, reference: Floats) -> None:
        column = np.ascontiguousarray(reference, dtype=np.float64).reshape(-1, 1)
        self._detector = ChiSquareDrift(column) if categorical else KSDrift(column)

    def compare(self, window: Floats) -> TwoSample:
        """The test of one window; see ``Detector``."""
        answer: Any = self._detector.predict(window.reshape(-1, 1), return_p_val=True, return_distance=True)
        data = answer["data"]
        return TwoSample(float(np.ravel(data["p_val"])[0]), float(np.ravel(data["distance"])[0]))
