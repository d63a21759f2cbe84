"""The score month by month, or week by week, held against the rows that taught."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.challenge.stability import psi

Floats = NDArray[np.float64]
FEW = 100
MONTHS = 3
"""Over fewer months the score is shown by week."""


def over_time(reference: Floats, score: Floats, time: NDArray[np.int64] | None) -> list[dict[str, Any]]:
    """PSI of the score in each calendar month (UTC), or each week from Monday where the rows touch fewer than three
    months, with its 95 % interval and what chance alone gives.

    Args:
        reference: scores of the training rows by models that have not seen them, NaN left out.
        score: of the test rows, shape (n,); time: microseconds since the epoch, (n,).

    Returns:
        One row a period: ``period``, ``unit`` (month or week), ``rows``, ``psi``, ``low``, ``high``, ``chance``.
        Periods of fewer than 100 rows are left out; empty without an event time.
    """
    if time is None or time.size == 0:
        return []
    before = reference[np.isfinite(reference)]
    days = time.astype("datetime64[us]").astype("datetime64[D]")
    # numpy's weeks begin on Thursday, as the epoch did.
    monday = days - ((days.astype(np.int64) + 3) % 7).astype("timedelta64[D]")
    months = days.astype("datetime64[M]")
    unit, starts = ("month", months) if np.unique(months).size >= MONTHS else ("week", monday)
    table: list[dict[str, Any]] = []
    for start in np.unique(starts):
        inside = score[starts == start]
        found = psi("score", before, inside) if inside.size >= FEW else None
        if found is not None:
            table.append({"period": str(start), "unit": unit, "rows": int(inside.size), **found})
    return table
