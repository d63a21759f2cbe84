"""Fisher's noncentral hypergeometric law, against scipy, against sums term by term, and against its limit."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln, gammaln, logsumexp
from scipy.stats import nchypergeom_fisher

from serinus.evidence import primitive

THETAS = tuple(log(psi) for psi in (0.02, 0.3, 0.8, 1.0, 1.25, 4.0, 50.0))
UNIT = THETAS.index(0.0)


def _exact(n_c: int, n_s: int, bad_c: int, bad_s: int) -> np.ndarray:
    """ln P_theta(bad_c) relative to theta = 0, summed term by term."""
    total = bad_c + bad_s
    j = np.arange(max(0, total - n_s), min(n_c, total) + 1)
    log_h = -(gammaln(j + 1) + gammaln(n_c - j + 1) + gammaln(total - j + 1) + gammaln(n_s - total + j + 1))
    out = np.array([bad_c * t - logsumexp(log_h + j * t) for t in THETAS])
    return out - out[UNIT]


def _ours(n_c: int, n_s: int, bad_c: int, bad_s: int) -> np.ndarray:
    out = primitive.log_likelihoods(n_c, n_s, np.array([bad_c]), np.array([bad_s]), THETAS)[0]
    return out - out[UNIT]


@pytest.mark.parametrize(("n_c", "n_s", "total"), [(10, 90, 7), (300, 2700, 150), (1, 1, 1), (40, 60, 95)])
def test_it_agrees_with_scipy(n_c: int, n_s: int, total: int) -> None:
    for bad_c in range(max(0, total - n_s), min(n_c, total) + 1, 3):
        theirs = np.array(
            [nchypergeom_fisher.logpmf(bad_c, n_c + n_s, total, n_c, np.exp(t)) for t in THETAS]
        )
        theirs -= theirs[UNIT]
        usual = theirs > -200
        np.testing.assert_allclose(
            _ours(n_c, n_s, bad_c, total - bad_c)[usual], theirs[usual], rtol=1e-7, atol=1e-9
        )


@given(st.integers(1, 6000), st.integers(1, 60_000), st.data())
@settings(max_examples=120, deadline=None)
def test_short_sums_long_sums_and_thinned_sums_agree(n_c: int, n_s: int, data: st.DataObject) -> None:
    bad_c = data.draw(st.integers(0, n_c))
    bad_s = data.draw(st.integers(0, n_s))
    np.testing.assert_allclose(
        _ours(n_c, n_s, bad_c, bad_s), _exact(n_c, n_s, bad_c, bad_s), rtol=1e-9, atol=2e-7
    )


def test_rows_may_have_their_own_margins() -> None:
    n_c, n_s = np.array([5, 400, 3000]), np.array([50, 2000, 9000])
    bad_c, bad_s = np.array([2, 30, 900]), np.array([1, 100, 2000])
    rows = primitive.log_likelihoods(n_c, n_s, bad_c, bad_s, THETAS)
    for row, margins in zip(rows, zip(n_c, n_s, bad_c, bad_s, strict=True), strict=True):
        np.testing.assert_allclose(row - row[UNIT], _exact(*map(int, margins)), rtol=1e-9, atol=2e-7)


@pytest.mark.parametrize(
    ("n_c", "n_s", "bad_c", "bad_s"), [(0, 10, 0, 4), (10, 0, 4, 0), (7, 9, 0, 0), (7, 9, 7, 9)]
)
def test_margins_that_leave_no_choice_carry_no_evidence(n_c: int, n_s: int, bad_c: int, bad_s: int) -> None:
    assert not _ours(n_c, n_s, bad_c, bad_s).any()


def test_factorials_agree_with_gamma_on_both_sides_of_the_table() -> None:
    k = np.array([0, 1, 2, 20, 65534, 65535, 65536, 65537, 10**6, 10**9])
    np.testing.assert_allclose(primitive.log_factorial(k), gammaln(k + 1.0), rtol=1e-13)


def test_rare_events_tend_to_lindon_and_maleks_sequential_p_value() -> None:
    """With few bad among very many units an event is the canary's with probability w psi/(w psi + 1 - w);
    under their Dirichlet prior our mixture over psi must then be the inverse of the p-value of
    ``seqabpy``."""
    gavi = pytest.importorskip("seqabpy.gavi")
    w, bad_c, bad_s, a, b = 0.1, 14, 33, 10.0, 90.0
    n_c, n_s = 10_000_000, 90_000_000
    share = (np.arange(1500) + 0.5) / 1500  # of an event being the canary's, on a fine grid
    psi = share * (1 - w) / (w * (1 - share))
    keep = (psi > 1e-2) & (psi < 1e2)
    prior = (a - 1) * np.log(share) + (b - 1) * np.log1p(-share) - betaln(a, b) - np.log(1500)
    thetas = (0.0, *np.log(psi[keep]).tolist())
    curve = primitive.log_likelihoods(n_c, n_s, np.array([bad_c]), np.array([bad_s]), thetas)[0]
    ours = logsumexp(curve[1:] - curve[0] + prior[keep])
    p = gavi.sequential_p_value([bad_c, bad_s], [w, 1 - w], [a, b])
    assert p < 1
    assert ours == pytest.approx(-np.log(p), abs=1e-3)
