"""Effects from bins, against what they are computed from values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from serinus.watching import Column, Tally, between, build_baseline, effect
from serinus.watching.effects import psi_null
from serinus.watching.laws import beta_cdf, binomial_bounds, chi_square_isf, chi_square_sf, normal_isf


def _column(values: np.ndarray, cells: int = 10) -> Column:
    return build_baseline(["x"], values.reshape(-1, 1), cells=cells).columns[0]


def _counts(values: np.ndarray, column: Column) -> np.ndarray:
    cells = np.searchsorted(column.edges, values, side="right")
    return np.bincount(cells, minlength=column.cells).astype(float)


def test_each_distance_is_its_textbook_formula() -> None:
    rng = np.random.default_rng(1)
    column = _column(rng.normal(size=4000))
    counts = _counts(rng.normal(0.4, 1.2, 900), column)
    found = effect(column, counts)
    assert found is not None
    reference = np.asarray(column.counts[0], float)
    p = (reference + 0.5) / (reference + 0.5).sum()
    q = (counts + 0.5) / (counts + 0.5).sum()
    assert found.psi == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p))
    assert found.kl == pytest.approx(stats.entropy(q, p))
    assert found.js == pytest.approx(jensenshannon(p, q, base=2))
    assert (found.n, found.reference_n) == (900, 4000)


def test_wasserstein_is_a_shift_in_units_of_the_column() -> None:
    rng = np.random.default_rng(2)
    old, new = rng.uniform(0, 100, 20_000), rng.uniform(0, 100, 20_000) * 0.8 + 5
    column = _column(old, cells=50)
    found = effect(column, _counts(new, column))
    assert found is not None
    assert found.wasserstein == pytest.approx(stats.wasserstein_distance(old, new), rel=0.05)


def test_a_category_has_no_wasserstein_distance() -> None:
    codes = np.random.default_rng(1).integers(0, 3, (900, 1)).astype(float)
    column = build_baseline(["c"], codes, levels={"c": 3}).columns[0]
    found = effect(column, [300, 300, 300])
    assert found is not None
    assert found.wasserstein is None


@pytest.mark.parametrize("n", [200, 500, 2000])
def test_the_null_quantile_of_psi_is_exceeded_once_in_a_hundred(n: int) -> None:
    rng = np.random.default_rng(n)
    over = 0
    for _ in range(1500):
        p = rng.multinomial(5000, np.full(10, 0.1)) + 0.5
        q = rng.multinomial(n, np.full(10, 0.1)) + 0.5
        p, q = p / p.sum(), q / q.sum()
        over += float(np.sum((q - p) * np.log(q / p))) > psi_null(5000, n, 10)
    assert 0.002 < over / 1500 < 0.022


def test_nothing_is_said_below_the_minimum() -> None:
    column = _column(np.random.default_rng(1).normal(size=500))
    counts = np.full(column.cells, 9.0)
    assert effect(column, counts, minimum=100) is None
    assert effect(column, counts, minimum=50) is not None
    assert effect(column, counts, minimum=50, effective=40) is None


def test_two_sketches_are_compared_like_a_sketch_with_the_reference() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(3000, 1))
    base = build_baseline(["x"], rows)
    tally = Tally(base)
    tally.add(rows)
    counts = np.asarray(tally.take().counts[0], float)
    found = between(base.columns[0], counts, counts)
    assert found is not None
    assert (found.psi, found.js, found.wasserstein) == (0, 0, 0)
    assert not found.material(0.1)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.floats(1e-10, 0.9))
def test_chi_square_agrees_with_scipy(freedom: int, tail: float) -> None:
    x = chi_square_isf(tail, freedom)
    assert x == pytest.approx(float(stats.chi2.isf(tail, freedom)), rel=1e-6, abs=1e-6)
    assert chi_square_sf(x, freedom) == pytest.approx(tail, rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.floats(0.5, 3000), st.floats(0.5, 3000))
def test_beta_agrees_with_scipy(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(float(stats.beta.cdf(x, a, b)), abs=1e-8)


@pytest.mark.parametrize(("hits", "rows"), [(0, 10), (10, 10), (3, 1000), (500, 100_000)])
def test_binomial_bounds_are_those_of_clopper_and_pearson(hits: int, rows: int) -> None:
    low, high = binomial_bounds(hits, rows, 0.025)
    exact = stats.binomtest(hits, rows).proportion_ci(0.95, method="exact")
    assert (low, high) == pytest.approx((float(exact.low), float(exact.high)), abs=1e-9)


def test_the_normal_quantile_is_conservative_in_the_far_tail() -> None:
    assert normal_isf(0.025) == pytest.approx(1.959964, abs=1e-5)
    assert normal_isf(1e-14) > float(stats.norm.isf(1e-14))
