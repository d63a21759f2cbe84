"""What Prometheus would answer: increases over a window, from the scrapes that lie in it.

``increase`` takes the first and the last sample of the window and adds up resets; a NaN at either end makes the
answer NaN; fewer than two samples give no answer. (Extrapolation cancels in a ratio of two increases.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .traces import Bools, Trace

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """Increases per tick and replication: NaN where the answer is NaN, ``empty`` where there is none."""

    n: Floats
    x: Floats
    empty: Bools


def increases(trace: Trace, arm: str, ticks: NDArray[np.int64], width: int) -> Window:
    """Increases of an arm over the ``width`` steps that end at each tick (a scrape number)."""
    n, x, lost = (
        (trace.n_c, trace.x_c, trace.lost_c) if arm == "canary" else (trace.n_s, trace.x_s, trace.lost_s)
    )
    seen, nan = (trace.seen_c, trace.nan_c) if arm == "canary" else (trace.seen_s, trace.nan_s)
    # After a restart the counter shows what came since; the earlier half of the step is never seen.
    keep = np.where(lost, 0.5, 1.0)
    total_n = np.vstack([np.zeros(trace.runs), np.cumsum(np.floor(n * keep), axis=0)])
    total_x = np.vstack([np.zeros(trace.runs), np.cumsum(np.floor(x * keep), axis=0)])
    scrape = np.arange(trace.steps + 1)[:, None]
    last = np.maximum.accumulate(np.where(seen, scrape, -1), axis=0)
    following = np.minimum.accumulate(np.where(seen, scrape, 10**9)[::-1], axis=0)[::-1]
    end, begin = last[ticks], following[np.maximum(ticks - width, 0)]
    empty = end <= begin
    end, begin = np.where(empty, 0, end), np.where(empty, 0, begin)
    column = np.arange(trace.runs)[None, :]
    spoilt = (nan[end, column] | nan[begin, column]) & ~empty
    out_n = np.where(spoilt, np.nan, total_n[end, column] - total_n[begin, column])
    out_x = np.where(spoilt, np.nan, total_x[end, column] - total_x[begin, column])
    return Window(out_n, out_x, empty)


def success_rate(trace: Trace, ticks: NDArray[np.int64], width: int) -> tuple[Floats, Bools]:
    """The canary's success rate, 0..1; NaN for 0/0 or NaN; and where there is no sample at all."""
    window = increases(trace, "canary", ticks, width)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(window.empty, np.nan, 1 - window.x / window.n), window.empty
