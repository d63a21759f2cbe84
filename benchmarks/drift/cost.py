"""What watching costs: CPU per row, a tenth of a core at 5,000 rows a second, memory over ten million rows."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import msgspec
import numpy as np

from serinus.watching import Detector, Plan, Tally, build_baseline

from . import rivals

FEATURES, REFERENCE = 30, 5000


def _rss() -> float:
    """Resident memory of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _world() -> tuple[np.random.Generator, np.ndarray, Tally, Detector]:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((REFERENCE, FEATURES))
    rows[:, 0] = rng.integers(0, 8, REFERENCE)
    rows[:, 1] = np.where(rng.random(REFERENCE) < 0.7, 0.0, rows[:, 1])
    base = build_baseline([f"x{i}" for i in range(FEATURES)], rows, rng.random(REFERENCE), levels={"x0": 8})
    return rng, rows, Tally(base), Detector(Plan(), base)


def tally(batch: int, repeats: int = 300) -> dict[str, float]:
    """Microseconds of CPU per row of 30 features to count rows in batches, 1 % of values missing."""
    rng, rows, counter, _ = _world()
    part = rows[rng.choice(len(rows), batch)]
    part[rng.random(part.shape) < 0.01] = np.nan
    scores = rng.random(batch)
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        counter.add(part)
        counter.add_scores(scores)
        times.append((time.perf_counter() - began) / batch * 1e6)
    return {"batch": batch, "us_per_row_median": float(np.median(times)), "us_per_row_best": min(times)}


def look(repeats: int = 200) -> dict[str, float]:
    """Milliseconds to close a look (sketch and e-detector), to judge it, and bytes of sketch and evidence."""
    _, rows, counter, watch = _world()
    evidence, updates, verdicts, size = watch.start(), [], [], 0
    for k in range(repeats):
        counter.add(rows[k * 7 % 4000 :][:500])
        began = time.perf_counter()
        sketch = counter.take()
        evidence = watch.update(evidence, sketch)
        closed = time.perf_counter()
        watch.judge(evidence)
        updates.append((closed - began) * 1e3)
        verdicts.append((time.perf_counter() - closed) * 1e3)
        size = len(sketch.encode())
    return {
        "update_ms_median": float(np.median(updates)),
        "update_ms_best": min(updates),
        "judge_ms_median": float(np.median(verdicts)),
        "judge_ms_best": min(verdicts),
        "sketch_bytes": size,
        "evidence_bytes": len(msgspec.json.encode(evidence)),
    }


def stream(total: int, look_rows: int, *, verdicts: bool, batch: int = 500) -> dict[str, float]:
    """A whole stream: counting in batches, closing a look each ``look_rows`` rows, with or without a verdict on each;
    CPU and memory."""
    _, rows, counter, watch = _world()
    evidence, scores = watch.start(), np.random.default_rng(1).random(batch)
    pieces = [rows[i : i + batch].copy() for i in range(0, REFERENCE, batch)]
    memory, seen = [], 0
    began, wall = time.process_time(), time.perf_counter()
    for k in range(total // batch):
        counter.add(pieces[k % len(pieces)])
        counter.add_scores(scores)
        seen += batch
        if seen % look_rows == 0:
            evidence = watch.update(evidence, counter.take())
            if verdicts:
                watch.judge(evidence)
        if seen % max(batch, total // 10) == 0:
            memory.append(round(_rss(), 1))
    cpu = time.process_time() - began
    return {
        "rows": total,
        "look_rows": look_rows,
        "verdicts": verdicts,
        "us_per_row": cpu / total * 1e6,
        "wall_us_per_row": (time.perf_counter() - wall) / total * 1e6,
        "share_of_a_core_at_5000_rows_a_second": cpu / total * 5000,
        "rss_mib_after_first_tenth": memory[0],
        "rss_mib_at_the_end": memory[-1],
    }


def alibi(rows: int = 500, repeats: int = 30) -> dict[str, float]:
    """Microseconds of CPU per row of KSDrift over 30 columns in windows of ``rows``, apart from ours."""
    _, reference, _, _ = _world()
    test, times = rivals.KS(reference), []
    for k in range(repeats):
        part = reference[k * 11 % 4000 :][:rows]
        began = time.process_time()
        test.least(part)
        times.append((time.process_time() - began) / rows * 1e6)
    return {"window": rows, "us_per_row_median": float(np.median(times)), "us_per_row_best": min(times)}


def run(scale: float = 1.0) -> dict[str, object]:
    """All parts."""
    return {
        "tally": [tally(n) for n in (1, 64, 256, 500, 1024)],
        "look": look(),
        "streams": [
            stream(round(10_000_000 * scale) // 5000 * 5000, 5000, verdicts=True),
            stream(round(2_000_000 * scale) // 500 * 500, 500, verdicts=False),
            stream(round(2_000_000 * scale) // 500 * 500, 500, verdicts=True),
        ],
        "alibi": alibi(),
        "load_average": os.getloadavg()[0],
        "numpy": np.__version__,
    }


def write(out: Path, result: dict[str, object]) -> None:
    """As JSON."""
    (out / "cost.json").write_text(json.dumps(result, indent=1) + "\n")
