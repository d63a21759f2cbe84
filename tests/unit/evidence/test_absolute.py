"""The e-value against an excess share: its mean over every null is summed exactly, never sampled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from serinus.evidence import absolute


def _mean(n_c: int, n_s: int, past_n: int, past_bad: int, margin: float, p_c: float, p_s: float) -> float:
    """Expectation of the e-value of a batch whose arms have the shares p_c and p_s."""
    x_c, x_s = (grid.ravel() for grid in np.meshgrid(np.arange(n_c + 1), np.arange(n_s + 1)))
    one = np.ones(len(x_c))
    log_e = absolute.log_e(
        one * n_c, one * n_s, x_c.astype(float), x_s.astype(float), one * past_n, one * past_bad, one * margin
    )
    return float((np.exp(log_e) * binom.pmf(x_c, n_c, p_c) * binom.pmf(x_s, n_s, p_s)).sum())


# Rounded: scipy's binomial overflows at denormal probabilities.
unit = st.floats(0, 1).map(lambda p: round(p, 6))
nulls = st.tuples(unit, unit)


@given(
    st.integers(0, 25),
    st.integers(0, 25),
    st.integers(0, 3000),
    st.floats(0, 1),
    st.sampled_from([0.005, 0.05, 0.3]),
    nulls,
)
@settings(max_examples=150, deadline=None)
def test_its_mean_is_at_most_one_wherever_the_excess_reaches_the_margin(
    n_c: int, n_s: int, past_n: int, past: float, margin: float, null: tuple[float, float]
) -> None:
    p_s = null[0] * (1 - margin)
    p_c = p_s + margin + null[1] * (1 - margin - p_s)
    assert _mean(n_c, n_s, past_n, round(past * past_n), margin, min(p_c, 1.0), p_s) <= 1 + 1e-9


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([0.05, 0.3]), st.data())
@settings(max_examples=60, deadline=None)
def test_nor_need_units_of_a_batch_be_alike(n_c: int, n_s: int, margin: float, data: st.DataObject) -> None:
    """Only the arms' mean shares count: here every unit of an arm is either surely bad or surely good."""
    bad_s = data.draw(st.integers(0, n_s))
    bad_c = data.draw(st.integers(0, n_c))
    log_e = absolute.log_e(*(np.array([float(v)]) for v in (n_c, n_s, bad_c, bad_s, 50, 5, margin)))
    if bad_c / n_c >= bad_s / n_s + margin:
        assert float(log_e[0]) <= 1e-9


def test_it_grows_when_there_is_no_excess() -> None:
    margin = 0.05
    quiet = absolute.log_e(*(np.array([v]) for v in (300.0, 2700.0, 3.0, 27.0, 30000.0, 300.0, margin)))
    assert float(quiet[0]) > 5
    empty = absolute.log_e(*(np.array([v]) for v in (300.0, 2700.0, 0.0, 0.0, 0.0, 0.0, margin)))
    assert float(empty[0]) > 5


def test_the_projection_zeroes_the_slope() -> None:
    rng = np.random.default_rng(5)
    q, margin = rng.uniform(1e-6, 0.999, 500), rng.uniform(1e-3, 0.5, 500)
    n_s, n_c = rng.integers(1, 10**6, 500) * 1.0, rng.integers(1, 10**6, 500) * 1.0
    a = absolute.project(q, n_s, n_c, margin)
    b = a + margin
    inside = (b > q) & (a < q)
    assert inside.all()
    weights = np.stack([n_s * (q - a) / (a * (1 - a)), n_c * (b - q) / (b * (1 - b))])
    assert np.abs(weights[0] / weights[1] - 1).max() < 1e-4


@pytest.mark.parametrize("n_s", [0.0, 100.0])
def test_without_canary_units_it_says_nothing_of_the_canary(n_s: float) -> None:
    value = absolute.log_e(*(np.array([v]) for v in (0.0, n_s, 0.0, n_s / 2, 100.0, 10.0, 0.05)))
    assert abs(float(value[0])) < 1e-9
