"""``python -m benchmarks.scorer run|report|install|list --out docs/benchmarks/scorer``.

``run`` measures and writes the report; ``report`` writes it again from ``results.json``; ``install`` makes the
peers' environments; ``list`` names the rows.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    """Runs one part."""
    parser = argparse.ArgumentParser(prog="benchmarks.scorer", description=__doc__)
    parser.add_argument("part", choices=["run", "report", "install", "list"])
    parser.add_argument("--set", choices=["default", "quick"], default="default")
    parser.add_argument(
        "--systems", default="", help="rows by key or product, comma-separated (default: the set's)"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/scorer"))
    parser.add_argument("--work", type=Path, default=Path(".tools/bench-scorer"))
    parser.add_argument("--uv", default="uv", help="makes the peers' environments")
    parser.add_argument("--minutes", type=float, help="no block starts after so many (default: 24; quick: 4)")
    parser.add_argument("--rounds", type=int, help="default: 3; quick: 1")
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--force", action="store_true", help="measure although the machine is not quiet")
    parser.add_argument(
        "--resume", action="store_true", help="keep the blocks that an earlier run has finished"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="multiplies all durations (for trying things out)"
    )
    parser.add_argument(
        "--wait", action="store_true", help="the generator sleeps between events, and does not spin"
    )
    parser.add_argument(
        "--limit-ms", type=float, default=5.0, help="p99 that a rate has to hold (default: 5)"
    )
    args = parser.parse_args()
    from . import install, report
    from .run import Run, choose, run
    from .systems import all_systems
    from .visit import Plan

    if args.part == "list":
        for system in all_systems():
            print(f"{system.key:22} {system.product}, {system.setting}, {system.model}, {system.wire.name}")
        return
    work, quick = args.work.resolve(), args.set == "quick"
    chosen = choose([k for k in args.systems.split(",") if k], quick)
    if args.part in ("install", "run"):
        install.install(work, args.uv, {s.key.split("-")[0] for s in chosen}, _say)
    if args.part == "run":
        scale = args.scale
        warm, probe, tail, search = (0.7, 1.0, 1.2, 7.0) if quick else (1.0, 1.2, 2.5, 18.0)
        plan = Plan(
            warm * scale,
            probe * scale,
            tail * scale,
            search * scale,
            spin=not args.wait,
            limit_ms=args.limit_ms,
        )
        # Stopped from outside, the run still stops the server it has started.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        what = Run(
            chosen, plan, rounds=args.rounds or (1 if quick else 3), minutes=args.minutes or (4 if quick else 24),
            work=work / "work", venvs=work, blocks=work / "blocks" / args.set, seed=args.seed, force=args.force,
            resume=args.resume,
        )  # fmt: skip
        began = time.monotonic()
        results = {"set": args.set, **run(what, _say)}
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "results.json").write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        _say(f"measured in {(time.monotonic() - began) / 60:.1f} min")
    if args.part in ("run", "report"):
        for line in report.write(args.out):
            print(line)


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
