"""``python -m benchmarks.judges subset|full|report|scores|curves|limits|cost --out docs/benchmarks/judges``.

``subset`` runs the named cells and all other parts; ``full`` the whole product of conditions.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Runs one part and writes its files into the output directory."""
    parser = argparse.ArgumentParser(prog="benchmarks.judges", description=__doc__)
    parser.add_argument(
        "part", choices=["subset", "full", "cells", "report", "scores", "curves", "limits", "cost"]
    )
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/judges"))
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the replications")
    args = parser.parse_args()
    # One thread per process: the matrices are small, and the jobs share the cores already.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from . import amoc, cost, grid, limits, report, run, scores

    args.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    part = args.part
    if part in ("subset", "cells", "full"):
        cells, name = (grid.full(), "full") if part == "full" else (grid.subset(), "subset")
        table: list[run.Row] = []
        for done, rows in enumerate(run.run(cells, args.jobs, args.scale), start=1):
            table += rows
            if done % 10 == 0 or done == len(cells):
                run.write(args.out / f"{name}.csv", table)
                print(
                    f"{done}/{len(cells)} cells, {time.monotonic() - began:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
    if part in ("scores", "subset", "full"):
        scores.write(args.out, scores.run(max(4, round(20 * args.scale)), args.jobs))
    if part in ("curves", "subset", "full"):
        amoc.write(args.out, amoc.run(runs=max(100, round(1500 * args.scale))))
    if part in ("limits", "subset", "full"):
        limits.write(args.out, limits.run())
    if part in ("cost", "subset", "full"):
        cost.write(args.out, cost.run())
    report.write(args.out)
    used = time.process_time()
    print(f"{args.part}: {time.monotonic() - began:.0f} s, {used:.0f} s of CPU in the main process")


if __name__ == "__main__":
    main()
