"""One NaN in a hundred, and a shift of three standard deviations in the same column: who sees it?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from serinus.watching import Detector, Tally, build_baseline

from . import rivals
from .alarms import WEEK, plan
from .worlds import FEATURES, LOOK_ROWS, REFERENCE


def run(runs: int = 20) -> dict[str, object]:
    """Runs in which each monitor finds the shift in one look of 500 rows, with and without NaN."""
    found = {"ours": [0, 0], "Alibi Detect KSDrift": [0, 0], "KSDrift without NaN": [0, 0]}
    for seed in range(runs):
        rng = np.random.default_rng([5, seed])
        reference = rng.standard_normal((REFERENCE, FEATURES))
        base = build_baseline([f"x{i}" for i in range(FEATURES)], reference)
        test, split = rivals.KS(reference), rivals.KS(reference[:, :1])
        watch = Detector(plan(WEEK), base)
        for k, share in enumerate((0.0, 0.01)):
            rows = rng.standard_normal((LOOK_ROWS, FEATURES))
            rows[:, 0] += 3
            rows[rng.random(LOOK_ROWS) < share, 0] = np.nan
            tally = Tally(base)
            tally.add(rows)
            found["ours"][k] += "x0" in watch.judge(watch.update(watch.start(), tally.take())).drifted
            found["Alibi Detect KSDrift"][k] += test.least(rows)[1]
            held = rows[~np.isnan(rows[:, 0]), :1]
            found["KSDrift without NaN"][k] += split.least(held)[1]
    return {"runs": runs, "rows": LOOK_ROWS, "found_without_nan_and_with": found}


def write(out: Path, result: dict[str, object]) -> None:
    """As JSON."""
    (out / "blind.json").write_text(json.dumps(result, indent=1) + "\n")
