"""From a model's raw probability to one that can be believed."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Calibrator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A monotone map of [0, 1] into [0, 1].

    ``isotonic`` interpolates between the knots (x ascending), flat outside them.
    ``logistic`` is a line between log-odds: x holds its slope, y its intercept.
    """

    kind: Literal["identity", "isotonic", "logistic"] = "identity"
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def apply(self, raw: Floats) -> Floats:
        """Calibrated probabilities, same shape as ``raw``."""
        if self.kind == "identity":
            return raw
        if self.kind == "logistic":
            return _expit(self.x[0] * _log_odds(raw) + self.y[0])
        return np.interp(raw, self.x, self.y)

    def one(self) -> Callable[[float], float]:
        """The map of a single probability: ``apply`` without the cost of an array."""
        if self.kind == "identity":
            return float
        if self.kind == "logistic":
            return partial(_line, self.x[0], self.y[0])
        return partial(_between, self.x, self.y)


def _line(slope: float, intercept: float, raw: float) -> float:
    inside = min(max(raw, 1e-12), 1 - 1e-12) if raw == raw else raw
    margin = slope * (math.log(inside) - math.log1p(-inside)) + intercept
    # As numpy.logaddexp, so that neither exponential can overflow.
    return math.exp(-(max(0.0, -margin) + math.log1p(math.exp(-abs(margin)))))


def _between(x: tuple[float, ...], y: tuple[float, ...], raw: float) -> float:
    """As ``numpy.interp``, in its order of operations."""
    if raw != raw:
        return raw
    j = bisect_right(x, raw) - 1
    if j < 0:
        return y[0]
    if j == len(x) - 1 or x[j] == raw:
        return y[j]
    return (y[j + 1] - y[j]) / (x[j + 1] - x[j]) * (raw - x[j]) + y[j]


def fit_isotonic(raw: Floats, outcome: Floats, *, smallest: int = 50, growth: float = 1.25) -> Calibrator:
    """Isotonic regression of the outcome (0 or 1) on the raw probability.

    Pool-adjacent-violators (Barlow et al. 1972) after grouping the sorted rows
    into blocks: a probability resting on a handful of rows would be noise stated
    as fact. Blocks are smallest at both ends, where rare outcomes and decisions
    lie, and grow by ``growth`` towards the middle. Each is shrunk towards the
    base rate by one row, so a block without a bad outcome is rare, not impossible.

    Args:
        raw: shape (n,), in [0, 1].
        outcome: shape (n,), 0 or 1.
        smallest: rows of the outermost blocks; less where there are few rows.
    """
    if raw.size == 0 or float(outcome.min()) == float(outcome.max()):
        return Calibrator()
    order = np.argsort(raw, kind="stable")
    base = float(outcome.mean())
    blocks: list[list[float]] = []  # mean of y, weight, mean of x
    for rows in np.split(order, _cuts(raw.size, max(5, min(smallest, raw.size // 40)), growth)):
        y, weight, x = float(outcome[rows].mean()), float(rows.size), float(raw[rows].mean())
        blocks.append([(y * weight + base) / (weight + 1.0), weight, x])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            last, before = blocks.pop(), blocks[-1]
            total = before[1] + last[1]
            blocks[-1] = [
                (before[0] * before[1] + last[0] * last[1]) / total,
                total,
                (before[2] * before[1] + last[2] * last[1]) / total,
            ]
    return Calibrator("isotonic", tuple(b[2] for b in blocks), tuple(b[0] for b in blocks))


def fit_logistic(raw: Floats, outcome: Floats) -> Calibrator:
    """Logistic regression of the outcome (0 or 1) on the raw log-odds (Platt 1999).

    Two numbers, so it suits few rows: an isotonic curve of a hundred bad outcomes is
    nearly flat for long stretches, and two all but equal models then put a tenth of the
    rows on different sides of the same threshold. As in Platt's paper the targets are
    drawn in by one row on either side, so that separable rows give no infinite slope.
    A score that ranks the wrong way round gets the slope 0, which says the base rate.

    Args:
        raw: shape (n,), in [0, 1].
        outcome: shape (n,), 0 or 1.
    """
    if raw.size == 0 or float(outcome.min()) == float(outcome.max()):
        return Calibrator()
    bad = float(outcome.sum())
    target = np.where(outcome > 0, (bad + 1) / (bad + 2), 1 / (raw.size - bad + 2))
    design = np.column_stack([_log_odds(raw), np.ones(raw.size)])
    line = np.array([1.0, 0.0])
    for _ in range(100):
        share = _expit(design @ line)
        slope = design.T @ (share - target)
        # The smallest of ridges keeps it solvable where all rows have the same score.
        curve = (design * (share * (1 - share))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curve, slope)
        # The loss is convex, but a whole Newton step may overshoot where shares are near 0 or 1.
        while _loss(design @ (line - step), target) > _loss(design @ line, target) + 1e-9:
            step = step / 2
        line = line - step
        if float(np.abs(step).max()) < 1e-10:
            break
    if not line[0] > 0:
        line = np.array([0.0, float(_log_odds(np.array([target.mean()]))[0])])
    return Calibrator("logistic", (float(line[0]),), (float(line[1]),))


def _loss(margin: Floats, target: Floats) -> float:
    return float(np.sum(np.logaddexp(0.0, margin) - target * margin))


def _log_odds(share: Floats) -> Floats:
    inside = np.clip(share, 1e-12, 1 - 1e-12)
    return np.log(inside) - np.log1p(-inside)


def _expit(margin: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -margin))


def _cuts(rows: int, smallest: int, growth: float) -> list[int]:
    """Where to cut ``rows`` so that blocks grow from both ends and meet in the middle."""
    left: list[int] = []
    at, size = 0.0, float(smallest)
    while at + size < rows / 2:
        at += size
        size *= growth
        left.append(round(at))
    return sorted({*left, *(rows - cut for cut in left)} - {0, rows})
