"""Latencies in buckets."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scorer.histogram import buckets, merge, quantile


@pytest.mark.parametrize("q", [0.5, 0.99, 0.999])
def test_quantiles_are_those_of_the_values_within_a_percent(q: float) -> None:
    values = np.random.default_rng(1).lognormal(12, 1.5, 50_000).astype(np.int64)
    exact = float(np.quantile(values, q, method="higher")) / 1e6
    assert quantile(buckets(values), q) == pytest.approx(exact, rel=0.011)


def test_merged_histograms_are_the_histogram_of_all() -> None:
    values = np.random.default_rng(2).integers(1, 10**9, 1000)
    assert merge([buckets(values[:300]), buckets(values[300:])]) == buckets(values)


def test_nothing_has_no_quantile() -> None:
    assert buckets(np.array([], dtype=np.int64)) == {}
    assert np.isnan(quantile({}, 0.5))
