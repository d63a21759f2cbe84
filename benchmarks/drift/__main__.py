"""``python -m benchmarks.drift default|alarms|rivals|delays|blind|evidently|cost|report --out docs/benchmarks/drift``.

``default`` is everything but ``cost``, which wants a quiet machine, and ``evidently``, which wants an environment of
its own (``docs/benchmarks/drift/method.md``).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path


def main() -> None:
    """Runs one part and writes its files into the output directory."""
    parser = argparse.ArgumentParser(prog="benchmarks.drift", description=__doc__)
    parser.add_argument(
        "part", choices=["default", "alarms", "rivals", "delays", "blind", "evidently", "cost", "report"]
    )
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/drift"))
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies replicas, looks and runs")
    parser.add_argument("--python", type=Path, help="interpreter of an environment that holds Evidently")
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    warnings.filterwarnings("ignore")
    from . import alarms, blind, cost, delays, evidently, report

    args.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {what}", file=sys.stderr, flush=True)

    if args.part in ("default", "blind"):
        blind.write(args.out, blind.run(max(5, round(20 * args.scale))))
        say("blind")
    if args.part in ("default", "delays"):
        table: list[delays.Row] = []
        for entry in delays.run(max(3, round(15 * args.scale))):
            table.append(entry)
            delays.write(args.out / "delays.csv", table)
            if entry.monitor == delays.RIVALS[-1]:
                say(entry.scenario)
    for part, runner in (("alarms", alarms.run), ("rivals", alarms.run_rivals)):
        if args.part in ("default", part):
            rows: list[alarms.Row] = []
            for found in runner(args.scale):
                rows.append(found)
                alarms.write(args.out / f"{part}.csv", rows)
                say(f"{found.stream}: {found.monitor}")
    if args.part == "evidently":
        evidently.run(args.out, args.python, max(5, round(40 * args.scale)))
        say("evidently")
    if args.part == "cost":
        cost.write(args.out, cost.run(args.scale))
        say("cost")
    report.write(args.out)
    say("report")


if __name__ == "__main__":
    main()
