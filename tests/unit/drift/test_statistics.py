from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from serving.drift import statistics
from serving.drift.detector import NumpyDetector

stats: Any = scipy_stats  # its result types are not known to the type checker
samples = st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.5, 7.0, 7.5, -3.0]), min_size=1, max_size=60).map(
    np.array
)


@pytest.mark.parametrize("freedom", [1, 2, 5, 9, 30])
@pytest.mark.parametrize("x", [0.01, 1.0, 8.0, 31.0, 80.0, 250.0])
def test_the_chi_square_tail_is_scipys_even_where_alarms_lie(x: float, freedom: int) -> None:
    assert statistics.chi_square_sf(x, freedom) == pytest.approx(
        stats.chi2.sf(x, freedom), rel=1e-9, abs=1e-300
    )


@pytest.mark.parametrize("freedom", [1, 4, 9, 19])
def test_the_chi_square_quantile_is_scipys(freedom: int) -> None:
    assert statistics.chi_square_quantile(0.99, freedom) == pytest.approx(
        stats.chi2.ppf(0.99, freedom), rel=1e-9
    )


@pytest.mark.parametrize(
    "table", [(0, 500, 221, 2000), (60, 500, 221, 2000), (120, 500, 221, 2000), (5, 100, 0, 2000)]
)
def test_more_often_is_fishers_exact_test(table: tuple[int, int, int, int]) -> None:
    a, n, b, m = table
    oracle = stats.fisher_exact([[a, n - a], [b, m - b]], alternative="greater").pvalue
    assert statistics.more_often(a, n, b, m) == pytest.approx(oracle, rel=1e-8)


@settings(deadline=None)  # a busy machine is no defect
@given(samples)
def test_every_value_lies_in_exactly_one_cell(values: np.ndarray) -> None:
    edges = statistics.numeric_edges(values)
    counts = statistics.cell_counts(values, edges)
    assert counts.sum() == values.size
    assert counts.size == edges.size + 1


@settings(deadline=None)  # a busy machine is no defect
@given(samples, samples)
def test_psi_is_zero_against_itself_and_never_negative(one: np.ndarray, other: np.ndarray) -> None:
    edges = statistics.numeric_edges(one)
    mine, theirs = statistics.cell_counts(one, edges), statistics.cell_counts(other, edges)
    assert statistics.population_stability_index(mine, mine) == pytest.approx(0, abs=1e-12)
    assert statistics.population_stability_index(mine, theirs) >= 0


@pytest.mark.parametrize(
    ("reference", "window"),
    [
        pytest.param(np.zeros(1000), np.full(500, 3.0), id="a constant that moved"),
        pytest.param(
            np.r_[np.zeros(960), np.ones(40)], np.r_[np.zeros(250), np.ones(250)], id="a rare count risen"
        ),
    ],
)
def test_psi_sees_what_happens_above_an_atom(reference: np.ndarray, window: np.ndarray) -> None:
    edges = statistics.numeric_edges(reference)
    counts = (statistics.cell_counts(reference, edges), statistics.cell_counts(window, edges))
    assert statistics.population_stability_index(*counts) > 0.25


def test_the_psi_of_undrifted_windows_stays_below_its_null_quantile_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    below = 0
    for _ in range(400):
        reference, window = random.normal(size=2000), random.normal(size=500)
        edges = statistics.numeric_edges(reference)
        counts = statistics.cell_counts(reference, edges), statistics.cell_counts(window, edges)
        limit = statistics.psi_null_quantile(2000, 500, statistics.occupied(*counts), 0.99)
        below += statistics.population_stability_index(*counts) <= limit
    assert 0.97 <= below / 400 <= 1


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
