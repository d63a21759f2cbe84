"""Whether test rows were seen in training: the same vector with the same outcome on both sides of the split."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from components.challenge.item import Item, judged
from components.config import Challenge
from serinus.intervals import wilson

Floats = NDArray[np.float64]


def of_duplicates(settings: Challenge, train: tuple[Floats, Floats], test: tuple[Floats, Floats]) -> Item:
    """Share of the test rows whose whole vector and outcome stand among the training rows too.

    Where features are few and coarse, twins are honest and common; with one number measured
    finely they are copies. The limit is the config's to set.

    Args:
        train, test: encoded rows (n, F) and outcomes (n,).
    """
    seen = set(_hashes(*train))
    copies = sum(key in seen for key in _hashes(*test))
    share = copies / max(test[1].size, 1)
    return judged(
        "leakage", "test_rows_in_training", share, interval=wilson(copies, test[1].size),
        maximum=settings.test_rows_in_training, why=f"{copies:,} of {test[1].size:,} rows",
        n=int(test[1].size),
    )  # fmt: skip


def _hashes(rows: Floats, outcome: Floats) -> list[bytes]:
    # + 0.0 makes one zero of both; every NaN has the same bits here, being numpy's own.
    whole = np.ascontiguousarray(np.column_stack([rows, outcome]) + 0.0)
    whole[np.isnan(whole)] = np.nan
    return [hashlib.blake2b(row, digest_size=8).digest() for row in whole.view(np.uint8)]
