from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from serving.drift.detector import NumpyDetector

stats: Any = scipy_stats  # its result types are not known to the type checker


def test_the_library_free_detector_agrees_with_scipy() -> None:
    random = np.random.default_rng(5)
    reference, window = random.normal(size=2000), random.normal(0.15, size=500)
    ours, oracle = (
        NumpyDetector(False, reference).compare(window),
        stats.ks_2samp(reference, window, method="asymp"),
    )
    assert ours.distance == pytest.approx(oracle.statistic)
    assert ours.p_value == pytest.approx(oracle.pvalue, rel=0.15)
    levels, shifted = random.integers(0, 4, 2000).astype(float), random.integers(0, 3, 500).astype(float)
    table = [np.bincount(levels.astype(int), minlength=4), np.bincount(shifted.astype(int), minlength=4)]
    chi = stats.chi2_contingency(table)
    theirs = NumpyDetector(True, levels).compare(shifted)
    assert (theirs.distance, theirs.p_value) == (
        pytest.approx(chi.statistic),
        pytest.approx(chi.pvalue, rel=1e-6),
    )
