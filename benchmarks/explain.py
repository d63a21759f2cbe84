"""``python -m benchmarks.explain [ENTRIES]``: how long it takes to find a decision in a log, verified.

Writes a home with one log of decisions (30 features, segments of 256 MiB) and, from the second round on, a signed
checkpoint after each tenth of it; then asks for decisions at its beginning, in its middle, at its end, and for one that
is not there, each by ``serinus decisions show`` in a process of its own. That is the part of ``serinus explain`` which
grows with the log; loading the bundle and scoring one row does not. Seconds of wall time and CPU, start included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.audit import write
from serinus.bundle import SigningKey
from serinus.chain import read_chain
from serinus.chain.checkpoint import append_checkpoint, checkpoints_path, sign_checkpoint
from serinus.home import Home

PLACES = {"at 1 %": 0.01, "in the middle": 0.5, "at 99 %": 0.99, "nowhere": 2.0}


def checkpoints(home: Home, log: Path, entries: int) -> None:
    """One after each tenth."""
    key, step = SigningKey.load_or_create(home.keys), max(1, entries // 10)
    for entry in read_chain(log):
        if entry.seq % step == 0:
            signed = sign_checkpoint(log, entry.seq, entry.hash, "2026-11-01T00:00:00+00:00", key)
            append_checkpoint(checkpoints_path(log), signed)


def found(home: Home, number: int, rounds: int) -> dict[str, float]:
    """The least of so many runs."""
    command = [sys.executable, "-c", "from serinus.cli.main import run; run()", "decisions", "show"]
    command += [f"{number:032x}", "--home", str(home.root), "--output", "json"]

    def once() -> tuple[float, float]:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(command, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return time.monotonic() - began, cpu

    runs = [once() for _ in range(rounds)]
    return {"wall_s": round(min(wall for wall, _ in runs), 2), "cpu_s": round(min(cpu for _, cpu in runs), 2)}


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(prog="benchmarks.explain", description=__doc__)
    parser.add_argument("entries", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    entries: int = arguments.entries

    def each() -> dict[str, dict[str, float]]:
        return {name: found(home, int(share * entries), arguments.rounds) for name, share in PLACES.items()}

    with tempfile.TemporaryDirectory() as temporary:
        home = Home(Path(temporary))
        log = home.decisions / "fraud-champion.jsonl"
        write(log, entries)
        steps: list[tuple[str, Callable[[], None]]] = [
            ("no checkpoint", lambda: None),
            ("a checkpoint each tenth", lambda: checkpoints(home, log, entries)),
        ]
        result: dict[str, object] = {"entries": entries}
        for name, prepare in steps:
            prepare()
            result[name] = each()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
