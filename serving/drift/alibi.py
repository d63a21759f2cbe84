"""Alibi Detect behind the detector port: the only module that imports it.

Importing it takes seconds, so whoever uses this module does so at start, before
reporting ready.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any

import numpy as np

from serinus.watching.bins import Floats
from serving.drift.detector import TwoSample


def _detectors() -> tuple[Any, Any]:
    """``KSDrift`` and ``ChiSquareDrift``, without what else the package brings.

    ``import alibi_detect`` loads every detector there is, and with them
    transformers, numba and pydantic: twice the time and twice the memory of the
    two modules needed here. Empty packages in the place of its two
    ``__init__`` files spare that; where that does not work, the whole is loaded.
    """
    names = ("alibi_detect", "alibi_detect.cd")
    if not any(name in sys.modules for name in names):
        spec = importlib.util.find_spec("alibi_detect")
        root = spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else ""
        for name, path in zip(names, (root, f"{root}/cd"), strict=True):
            package = types.ModuleType(name)
            package.__path__ = [path]
            package.__spec__ = ModuleSpec(name, None, is_package=True)
            sys.modules[name] = package
        try:
            return _both()
        except (ImportError, AttributeError):
            for name in [n for n in sys.modules if n.partition(".")[0] == "alibi_detect"]:
                del sys.modules[name]
    return _both()


def _both() -> tuple[Any, Any]:
    numbers = importlib.import_module("alibi_detect.cd.ks")
    levels = importlib.import_module("alibi_detect.cd.chisquare")
    return numbers.KSDrift, levels.ChiSquareDrift


KSDrift, ChiSquareDrift = _detectors()


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
        answer = self._detector.predict(window.reshape(-1, 1), return_p_val=True, return_distance=True)
        data = answer["data"]
        return TwoSample(float(np.ravel(data["p_val"])[0]), float(np.ravel(data["distance"])[0]))
