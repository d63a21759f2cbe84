"""The bare library: rows/s of ``Booster.predict`` on batches. ``bare.py MODEL ROWS.npy SIZE SECONDS``."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightgbm
import numpy as np


def measure(booster_path: str, rows_path: str, size: int, seconds: float) -> float:
    """One thread, contiguous float64, distinct batches in turn."""
    booster: Any = lightgbm.Booster(model_file=booster_path)
    x = np.load(rows_path)
    parts = [np.ascontiguousarray(x[i : i + size]) for i in range(0, len(x) - size + 1, size)]
    for part in parts[:10]:
        booster.predict(part, num_threads=1)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        booster.predict(parts[done % len(parts)], num_threads=1)
        done += 1
    return round(done * size / (time.perf_counter() - began))


if __name__ == "__main__":
    print(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
