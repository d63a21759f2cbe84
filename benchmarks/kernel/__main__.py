"""``python -m benchmarks.kernel``: CPU time of scores and reasons, by the kernel and by the libraries.

300 trees of depth 6 over 30 features with missing values, the model of ``make bench-scorer``'s
size. Times are of this thread's CPU clock, so that a neighbour costs little but its share of
the caches; each is the least and the median of several rounds over distinct rows, in an order
drawn anew each round. ``cold`` writes 64 MB before each call, so that nothing is left in a cache.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from serinus.errors import SerinusError
from serinus.model.booster import LibraryEnsemble
from serinus.model.ensemble import load_ensemble

Floats = NDArray[np.float64]
TREES, DEPTH, FEATURES, ROUNDS = 300, 6, 30, 9
Work = tuple[str, int, Callable[[], object]]


def model() -> tuple[str, Floats]:
    """A trained model's text, and rows."""
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(20_000, FEATURES))
    margin = (
        rows[:, 0] * rows[:, 1]
        + rows[:, 2]
        + np.sin(3 * rows[:, 3])
        + rows[:, 7:15].sum(axis=1) * rows[:, 16]
    )
    outcome = (margin + draw.normal(size=margin.size) > 1).astype(float)
    rows[draw.random(rows.shape) < 0.05] = np.nan
    parameters = {
        "objective": "binary", "max_depth": DEPTH, "num_leaves": 2**DEPTH, "learning_rate": 0.05,
        "verbosity": -1, "seed": 0, "deterministic": True,
    }  # fmt: skip
    return lightgbm.train(parameters, lightgbm.Dataset(rows, outcome), TREES).model_to_string(), rows[:1000]


def work(text: str, rows: Floats) -> list[Work]:
    """What is timed: a name, how many rows it answers, and the call."""

    def refuse(warning: SerinusError) -> None:
        raise warning

    kernel, library = load_ensemble(text, features=FEATURES, warn=refuse), LibraryEnsemble(text)
    wanted = library.contributions(rows[:50])
    print(f"scores equal: {np.array_equal(kernel.probability(rows), library.probability(rows))}")
    print(f"contributions differ by at most {np.abs(kernel.contributions(rows[:50]) - wanted).max():.1g}")
    singles = list(rows)
    return [
        ("score, one row, kernel", 1000, lambda: [kernel.probability_of(row) for row in singles]),
        ("score, one row, LightGBM", 200, lambda: [library.probability_of(row) for row in singles[:200]]),
        ("score, 1,000 rows, kernel", 1000, lambda: kernel.probability(rows)),
        ("score, 1,000 rows, LightGBM", 1000, lambda: library.probability(rows)),
        ("reasons, one row, kernel", 300, lambda: [kernel.contributions_of(row) for row in singles[:300]]),
        ("reasons, one row, LightGBM", 10, lambda: [library.contributions_of(row) for row in singles[:10]]),
        ("reasons, 300 rows, kernel", 300, lambda: kernel.contributions(rows[:300])),
        ("reasons, 20 rows, LightGBM", 20, lambda: library.contributions(rows[:20])),
        *_shap(text, rows),
        ("score, one row, kernel, cold", 0, _cold(lambda i: kernel.probability_of(singles[i]))),
        ("reasons, one row, kernel, cold", 0, _cold(lambda i: kernel.contributions_of(singles[i]))),
    ]


def _shap(text: str, rows: Floats) -> list[Work]:
    """The shap library's own tree code, without which it would only call LightGBM's."""
    import shap

    explainer: Any = shap.TreeExplainer(lightgbm.Booster(model_str=text))
    explainer.model.original_model, explainer.model.model_type = None, "internal"
    return [("reasons, 20 rows, shap", 20, lambda: explainer.shap_values(rows[:20], check_additivity=False))]


def _cold(call: Callable[[int], object]) -> Callable[[], float]:
    """Seconds of one call whose data left the caches."""
    spill, turns = np.zeros(8_000_000), iter(range(10**6))

    def run() -> float:
        spill[:] += 1.0
        turn = next(turns) % 1000
        begun = time.thread_time()
        call(turn)
        return time.thread_time() - begun

    return run


def main() -> None:
    """Time everything and print a table in Markdown, µs of CPU a row."""
    jobs = work(*model())
    seconds: dict[str, list[float]] = {name: [] for name, _, _ in jobs}
    for _ in range(ROUNDS):
        for name, count, call in random.sample(jobs, len(jobs)):
            if count == 0:
                seconds[name] += [float(call()) for _ in range(20)]  # pyright: ignore[reportArgumentType]
                continue
            begun = time.thread_time()
            call()
            seconds[name].append((time.thread_time() - begun) / count)
    print("\n| | least, µs | median, µs |\n|---|--:|--:|")
    for name, found in seconds.items():
        print(f"| {name} | {min(found) * 1e6:,.1f} | {float(np.median(found)) * 1e6:,.1f} |")


if __name__ == "__main__":
    main()
