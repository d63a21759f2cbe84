"""What watching costs: CPU per row, a tenth of a core at 5,000 rows a second, memory over ten million rows.

Times are of this process's CPU, so they can be taken while others work; the memory is the process's own.
"""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

import msgspec
import numpy as np

from serinus.contract import parse_contract
from serinus.watching import Detector, Plan, Tally, build_baseline
from serving.drift.detector import Detector as TwoSampleDetector
from serving.drift.detector import NumpyDetector
from serving.drift.evaluate import build_yardstick
from serving.drift.mailbox import Letter
from serving.drift.monitor import Monitor
from serving.drift.payload import REQUEST_TYPE, RESPONSE_TYPE, Envelope
from serving.drift.policy import Policy
from serving.drift.report import Settings
from serving.drift.rows import RowReader

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
        began = time.process_time()
        counter.add(part)
        counter.add_scores(scores)
        times.append((time.process_time() - began) / batch * 1e6)
    return {"batch": batch, "us_per_row_median": float(np.median(times)), "us_per_row_best": min(times)}


def look(repeats: int = 200) -> dict[str, float]:
    """Milliseconds to close a look (sketch and e-detector), to judge it, and bytes of sketch and evidence."""
    _, rows, counter, watch = _world()
    evidence, updates, verdicts, size = watch.start(), [], [], 0
    for k in range(repeats):
        counter.add(rows[k * 7 % 4000 :][:500])
        began = time.process_time()
        sketch = counter.take()
        evidence = watch.update(evidence, sketch)
        closed = time.process_time()
        watch.judge(evidence)
        updates.append((closed - began) * 1e3)
        verdicts.append((time.process_time() - closed) * 1e3)
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


def monitor(
    rows: int, total: int, detector: str, look: float = 60.0, rate: float = 5000.0
) -> dict[str, object]:
    """The sidecar's worker, HTTP apart: requests of ``rows`` rows and their answers as JSON, decoded, read by the
    contract, counted, and judged once in ``look`` seconds of a traffic of ``rate`` rows a second."""
    bundle, now = _Bundle(), [0.0]
    factory = {"none": None, "numpy": NumpyDetector}.get(detector, _alibi_detector)
    policy = Policy(look=look)
    watched = Monitor(
        Settings("bench", "sha256:bench", 500, 86_400.0),
        build_yardstick(bundle, factory, 500, policy),  # pyright: ignore[reportArgumentType]
        RowReader(bundle.contract, bundle.levels),
        policy,
        clock=lambda: now[0],
    )
    letters = bundle.letters(rows)
    logging.getLogger("serinus.drift").setLevel(logging.WARNING)
    memory: list[float] = []
    began = time.process_time()
    for k in range(total // rows):
        request, response = letters[k % len(letters)]
        watched.process(request)
        watched.process(response)
        now[0] += rows / rate
        watched.close_due()
        if (k + 1) % max(1, total // rows // 10) == 0:
            memory.append(round(_rss(), 1))
    cpu = time.process_time() - began
    judged = sum(watched.snapshot().rows.values())
    return {
        "rows_a_request": rows,
        "rows": total,
        "judged": judged,
        "looks": watched.snapshot().evaluations["champion"].verdict.looks,
        "detector": detector,
        "us_per_row": cpu / total * 1e6,
        "share_of_a_core_at_5000_rows_a_second": cpu / total * 5000,
        "rss_mib_after_first_tenth": memory[0],
        "rss_mib_at_the_end": memory[-1],
    }


class _Bundle:
    """As much of a bundle as the monitor reads, and traffic for it: 30 features, one of them with eight levels."""

    def __init__(self) -> None:
        rng, self.reference_rows, _, _ = _world()
        self.reference_scores = rng.random(REFERENCE)
        names = [f"x{i}" for i in range(FEATURES)]
        self.levels = {"x0": tuple("abcdefgh")}
        columns: dict[str, object] = {name: {"type": "number", "missing": "allow"} for name in names}
        columns |= {"x0": {"type": "category", "categories": list("abcdefgh")}}
        columns |= {"y": {"type": "boolean"}}
        document = {"apiVersion": "serinus.io/v1", "kind": "DataContract", "name": "bench", "columns": columns,
                    "label": {"column": "y"},
                    "features": [{"name": name, "column": name} for name in names]}  # fmt: skip
        self.contract = parse_contract(document, where="benchmarks/drift/cost.py")

    def letters(self, rows: int, count: int = 200) -> list[tuple[Letter, Letter]]:
        """Requests and answers in the Seldon V1 form, 1 % of the numbers missing."""
        rng, names = np.random.default_rng(5), list(self.contract.feature_names)
        made: list[tuple[Letter, Letter]] = []
        for _ in range(count):
            part = self.reference_rows[rng.choice(REFERENCE, rows)].round(4)
            holes = rng.random(part.shape) < 0.01
            table = [
                [
                    "abcdefgh"[int(row[0])],
                    *(None if hole else v for v, hole in zip(row[1:], at[1:], strict=True)),
                ]
                for row, at in zip(part.tolist(), holes.tolist(), strict=True)
            ]
            request = {"data": {"names": names, "ndarray": table}}
            response = {
                "data": {"names": ["probability"], "ndarray": rng.random((rows, 1)).round(6).tolist()},
                "meta": {"tags": {"digest": "sha256:bench"}},
            }
            made.append(
                (
                    Letter(Envelope(REQUEST_TYPE, "champion", "r"), json.dumps(request).encode()),
                    Letter(Envelope(RESPONSE_TYPE, "champion", "r"), json.dumps(response).encode()),
                )
            )
        return made


def _alibi_detector(categorical: bool, reference: np.ndarray) -> TwoSampleDetector:
    from serving.drift.alibi import AlibiDetector

    return AlibiDetector(categorical, reference)


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
        "monitor": [
            monitor(1, round(500_000 * scale), "none"),
            monitor(100, round(10_000_000 * scale) // 100 * 100, "none"),
            monitor(100, round(2_000_000 * scale) // 100 * 100, "alibi"),
        ],
        "alibi": alibi(),
        "load_average": os.getloadavg()[0],
        "numpy": np.__version__,
    }


def write(out: Path, result: dict[str, object]) -> None:
    """As JSON."""
    (out / "cost.json").write_text(json.dumps(result, indent=1) + "\n")
