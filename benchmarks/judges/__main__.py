"""``python -m benchmarks.judges subset|full|report|scores|cost --out docs/benchmarks/judges``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Runs one part and writes its files into the output directory."""
    parser = argparse.ArgumentParser(prog="benchmarks.judges", description=__doc__)
    parser.add_argument("part", choices=["subset", "full", "report", "scores", "cost"])
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/judges"))
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the replications")
    args = parser.parse_args()
    # One thread per process: the matrices are small, and the jobs share the cores already.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from . import cost, grid, report, run, scores

    args.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    if args.part in ("subset", "full"):
        cells = grid.subset() if args.part == "subset" else grid.full()
        table: list[run.Row] = []
        for done, rows in enumerate(run.run(cells, args.jobs, args.scale), start=1):
            table += rows
            if done % 10 == 0 or done == len(cells):
                run.write(args.out / f"{args.part}.csv", table)
                print(
                    f"{done}/{len(cells)} cells, {time.monotonic() - began:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
    elif args.part == "scores":
        scores.write(args.out, scores.run(max(4, round(40 * args.scale))))
    elif args.part == "cost":
        cost.write(args.out, cost.run())
    report.write(args.out)
    print(f"{args.part}: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
