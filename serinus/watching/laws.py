"""Quantiles and tails of the laws that thresholds come from, in numpy and the standard library alone."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_NORMAL = NormalDist()


def chi_square_sf(x: float, freedom: int) -> float:
    """P(chi-square with ``freedom`` degrees > x), by the incomplete gamma function.

    Series below the mean, Lentz's continued fraction above it (Abramowitz and Stegun 6.5.29 and 6.5.31): accurate to
    1e-12 in the far tail.
    """
    if x <= 0:
        return 1.0
    a, z = freedom / 2, x / 2
    scale = math.exp(-z + a * math.log(z) - math.lgamma(a))
    if z < a + 1:
        term = total = 1 / a
        k = a
        while abs(term) > abs(total) * 1e-16:
            k += 1
            term *= z / k
            total += term
        return max(0.0, 1 - total * scale)
    tiny = 1e-300
    b = z + 1 - a
    c, d = 1 / tiny, 1 / b
    h = d
    for i in range(1, 10_000):
        numerator = -i * (i - a)
        b += 2
        d = 1 / (numerator * d + b or tiny)
        c = b + numerator / c or tiny
        h *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return scale * h


@lru_cache(maxsize=4096)
def chi_square_isf(tail: float, freedom: int) -> float:
    """The x that chi-square exceeds with probability ``tail``, by bisection; 0 without a degree of freedom."""
    if freedom < 1:
        return 0.0
    low, high = 0.0, 20.0 * freedom + 20 * -math.log(tail)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if chi_square_sf(middle, freedom) > tail else (low, middle)
    return (low + high) / 2


def kolmogorov_sf(distance: float, n: int, m: int) -> float:
    """P(two-sample Kolmogorov-Smirnov distance > ``distance``) of samples of n and m, asymptotically.

    Kolmogorov's series with Stephens' (1970) correction for the sample size; conservative where there are ties.
    """
    effective = math.sqrt(n * m / (n + m))
    z = (effective + 0.12 + 0.11 / effective) * distance
    if z < 0.2:
        return 1.0
    total = sum((-1) ** (k - 1) * math.exp(-2 * k * k * z * z) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * total))


def normal_isf(tail: float) -> float:
    """The z that a standard normal exceeds with probability ``tail``."""
    return _NORMAL.inv_cdf(1 - tail) if tail > 1e-12 else math.sqrt(-2 * math.log(tail))


def _beta_fraction(a: float, b: float, x: float) -> float:
    # Lentz's method on the continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8).
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    h = d
    for m in range(1, 500):
        for top in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + top * d or tiny)
            c = 1 + top / c or tiny
            h *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return h


def beta_cdf(x: float, a: float, b: float) -> float:
    """P(Beta(a, b) ≤ x)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, 1 - x) / b


@lru_cache(maxsize=65536)
def binomial_bounds(hits: int, rows: int, tail: float) -> tuple[float, float]:
    """Clopper and Pearson's (1934) bounds on a share; each errs with probability ``tail`` at most."""
    return (
        0.0 if hits <= 0 else _beta_quantile(tail, hits, rows - hits + 1),
        1.0 if hits >= rows else _beta_quantile(1 - tail, hits + 1, rows - hits),
    )


def _beta_quantile(level: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if beta_cdf(middle, a, b) < level else (low, middle)
    return (low + high) / 2
