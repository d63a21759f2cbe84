"""Fisher's noncentral hypergeometric law: which of the bad units are the canary's, given the margins.

Over one scrape the canary answered ``n_c`` units, stable ``n_s``; ``total`` units were bad in both together.
If units are exchangeable within an arm and the odds of being bad differ by the factor exp(theta), then, given
these margins,

    P_theta(x) = C(n_c, x) C(n_s, total - x) exp(theta x) / Z(theta)

for the canary's bad units x (Fisher 1935; Cornfield 1956). Neither the traffic weight nor the base rate is
in it: that is why drift, incidents that both arms share, and changing weights cannot mislead it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BLOCK = 128  # terms summed by one matrix product
_LONGEST = 1024  # supports up to this length are summed term by term
_PIECE = 8192  # terms held at a time
_REACH = 7.0  # half-width of a thinned sum, in standard deviations: leaves out less than 1e-10 of the mass
_STEPS_PER_SD = 1.5  # trapezoid error of a normal shape at this step: exp(-2 (1.5 pi)^2) < 1e-19
_TABLE = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1.0, 1 << 16)))))


def log_factorial(k: Ints) -> Floats:
    """Log of k!; exact sums below 65536, Stirling's series above (error below 1e-15). 0 for k < 0."""
    if k.size and int(k.max()) < len(_TABLE):
        return _TABLE.take(k, mode="clip")
    big = np.maximum(k, 1).astype(np.float64)
    series = (big + 0.5) * np.log(big) - big + 0.9189385332046727 + 1 / (12 * big) - 1 / (360 * big**3)
    return np.where(k < len(_TABLE), _TABLE.take(k, mode="clip"), series)


@lru_cache(maxsize=256)
def _powers(thetas: tuple[float, ...], length: int) -> Floats:
    return np.exp(np.arange(length)[:, None] * np.asarray(thetas)[None, :])


def log_likelihoods(
    n_c: Ints | int, n_s: Ints | int, bad_c: Ints, bad_s: Ints, thetas: tuple[float, ...]
) -> Floats:
    """Log of P_theta(bad_c) up to a term that does not depend on theta.

    Args:
        n_c, n_s: units of the canary and of stable in this batch; one number, or one per row.
        bad_c, bad_s: bad units, one entry per row (an edge, or a replication); 0 <= bad <= n.
        thetas: log odds ratios.

    Returns:
        array (rows, thetas).
    """
    theta = np.asarray(thetas)
    n_c, n_s = np.asarray(n_c), np.asarray(n_s)
    total = bad_c + bad_s
    low = np.maximum(0, total - n_s)
    high = np.minimum(n_c, total)
    length = int((high - low).max(initial=0)) + 1
    if length == 1:  # the margins alone fix x: no information
        return np.zeros((len(bad_c), len(theta)))
    if length > _LONGEST:
        return bad_c[:, None] * theta - _thinned(n_c, n_s, total, low, high, theta)
    log_z = np.empty((len(total), len(theta)))
    n_c, n_s = np.broadcast_to(n_c, total.shape), np.broadcast_to(n_s, total.shape)
    # Rows of like length together, in pieces that fit the processor's cache.
    order = np.argsort(high - low)
    for piece in np.array_split(order, -(-len(order) * length // _PIECE)):
        longest = int((high - low)[piece].max()) + 1
        log_z[piece] = _blocks(n_c[piece], n_s[piece], total[piece], low[piece], high[piece], longest, thetas)
    return (bad_c - low)[:, None] * theta - log_z


def _blocks(
    n_c: Ints, n_s: Ints, total: Ints, low: Ints, high: Ints, length: int, thetas: tuple[float, ...]
) -> Floats:
    """Log of Z, term by term: a matrix product per block of the support."""
    theta = np.asarray(thetas)
    # Short enough for exp(block * theta) to be finite.
    block = min(length, _BLOCK, int(600 / max(1.0, float(np.abs(theta).max()))))
    count = -(-length // block)
    block = -(-length // count)
    # Where all rows begin at 0 and share n_c, two of the four factorials are the same for all rows.
    j = np.arange(count * block)[None, :] + (low[:, None] if low.any() else 0)
    outside = j > high[:, None]
    own = n_c[:1, None] if (n_c == n_c[0]).all() else n_c[:, None]
    rest = total[:, None] - j
    log_h = log_factorial(rest)
    log_h += log_factorial(n_s[:, None] - rest)
    log_h += log_factorial(j) + log_factorial(own - j)
    np.negative(log_h, out=log_h)
    log_h[outside] = -np.inf
    log_h = log_h.reshape(len(low), count, block)
    top = log_h.max(axis=2, keepdims=True)
    reference = top.max(axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, reference)  # a block wholly outside: its terms stay 0
    log_h -= top
    inner = np.exp(log_h, out=log_h).reshape(-1, block) @ _powers(thetas, block)
    with np.errstate(divide="ignore"):
        np.log(inner, out=inner)
    if count == 1:
        return inner
    inner = inner.reshape(len(low), count, len(theta))
    inner += (top - reference) + (np.arange(count) * block)[:, None] * theta
    peak = inner.max(axis=1, keepdims=True)
    inner -= peak
    return np.log(np.exp(inner, out=inner).sum(axis=1)) + peak[:, 0]


def _log_h_denominator(n_c: Ints, n_s: Ints, total: Ints, j: Ints) -> Floats:
    out = log_factorial(j)
    out += log_factorial(n_c - j)
    out += log_factorial(total - j)
    out += log_factorial(n_s - total + j)
    return out


def _thinned(n_c: Ints, n_s: Ints, total: Ints, low: Ints, high: Ints, theta: Floats) -> Floats:
    """Log of Z by a trapezoid sum around each mode. Z's terms are log-concave and, where the step exceeds 1,
    close to a normal curve, for which the trapezoid rule converges faster than any power of the step."""
    psi = np.exp(theta)[None, :]
    e, lo, hi = total[:, None], low[:, None], high[:, None]
    n_c, n_s = n_c[..., None], n_s[..., None]
    # The mode solves x (n_s - e + x) = psi (n_c - x)(e - x); the stable form of the quadratic's root.
    a = psi - 1.0
    b = psi * (n_c + e) + n_s - e
    c = psi * n_c * e
    root = 2 * c / (b + np.sqrt(np.maximum(b * b - 4 * a * c, 0.0)))
    mode = np.clip(np.rint(root), lo, hi)
    cells = (mode, n_c - mode, e - mode, n_s - e + mode)
    sd = 1 / np.sqrt(sum(1 / (np.maximum(cell, 0) + 0.5) for cell in cells))
    step = np.maximum(1, np.floor(sd / _STEPS_PER_SD)).astype(np.int64)
    # Near the end of the support the shape is no normal curve: look closer there.
    near = np.minimum(mode - lo, hi - mode) < (_REACH + 1) * sd
    step = np.where(near, np.maximum(1, np.minimum(step, np.floor(sd / 4).astype(np.int64))), step)
    half = np.ceil(_REACH * (sd + 0.5) / step).astype(np.int64) + 2
    out = np.empty(mode.shape)
    columns: list[Ints] = [np.broadcast_to(part, mode.shape) for part in (n_c, n_s, e, lo, hi)]
    slopes = np.broadcast_to(theta[None, :], mode.shape)
    for group in (near, ~near):  # the far ones need few terms; do not make them wait for the near ones
        if not group.any():
            continue
        c_n, s_n, e_n, lo_n, hi_n = (part[group][:, None] for part in columns)
        reach = np.arange(-int(half[group].max()), int(half[group].max()) + 1)
        j = mode[group].astype(np.int64)[:, None] + step[group][:, None] * reach
        outside = (j < lo_n) | (j > hi_n)
        np.clip(j, lo_n, hi_n, out=j)
        terms = j * slopes[group][:, None] - _log_h_denominator(c_n, s_n, e_n, j)
        terms[outside] = -np.inf
        top = terms.max(axis=1, keepdims=True)
        terms -= top
        out[group] = top[:, 0] + np.log(np.exp(terms, out=terms).sum(axis=1) * step[group])
    base = -_log_h_denominator(n_c, n_s, e, lo)  # keeps the numbers small; the same for all theta
    return out - base
