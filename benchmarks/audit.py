"""``python -m benchmarks.audit [ENTRIES] [--keep DIR]``: how long a log takes to verify, and in how much memory.

Writes a log of decisions (30 features, reasons on one in ten) in segments of 256 MiB, then verifies it in a
process of its own with ``serinus audit verify``, whose CPU time and peak memory the operating system accounts for.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from serinus.events import DecisionEncoder, DecisionLog
from serinus.model import ReasonCode

BATCH = 5000
REASONS = (
    ReasonCode("R01", "amount", "Amount of this transaction", 1.913264),
    ReasonCode("R08", "customer_mean_7d", "Average amount with this card in the last 7 days", 0.920002),
)


def write(path: Path, entries: int) -> None:
    """A log of so many decisions, seeded."""
    encode = DecisionEncoder(model="fraud", version=1, digest="sha256:" + "0" * 64, predictor="champion")
    random = np.random.default_rng(1)
    rows = random.lognormal(2, 1, (BATCH, 30)).round(3).tolist()
    with DecisionLog(path, rotate_bytes=256 << 20) as log:
        for start in range(0, entries, BATCH):
            count = min(BATCH, entries - start)
            bodies = [
                encode(
                    f"{start + i:032x}",
                    1.79e9 + i,
                    0.25,
                    0.125,
                    "review",
                    REASONS if i % 10 == 0 else (),
                    rows[i],
                )
                for i in range(count)
            ]
            log.append(bodies, durable=False)


def main() -> None:
    """Writes, verifies, prints one JSON object."""
    parser = argparse.ArgumentParser(prog="benchmarks.audit", description=__doc__)
    parser.add_argument("entries", type=int, nargs="?", default=10_000_000)
    parser.add_argument("--keep", type=Path, help="a directory for the log, which is then kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        log = (arguments.keep or Path(temporary)) / "fraud-champion.jsonl"
        began = time.monotonic()
        write(log, arguments.entries)
        written = time.monotonic() - began
        began = time.monotonic()
        command = [
            sys.executable,
            "-c",
            "from serinus.cli.main import run; run()",
            "audit",
            "verify",
            str(log),
            "--output",
            "json",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        wall = time.monotonic() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = json.loads(done.stdout)["logs"][0]
    result = {
        "entries": found["entries"],
        "sound": found["sound"],
        "bytes": found["size"],
        "files": found["files"],
        "written_s": round(written, 1),
        "verified_s": round(wall, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "entries_per_cpu_second": round(found["entries"] / (used.ru_utime + used.ru_stime)),
        "peak_mib": round(used.ru_maxrss / 1024, 1),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
