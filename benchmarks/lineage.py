"""What lineage costs a pipeline run: off, to files, to files and a backend, and with a backend that is down.

    python -m benchmarks.lineage --rounds 5

Each round runs the four in turn, each in a home of its own, on the same records; the wall clock and
the CPU of all processes of a run are taken, and the medians over the rounds are printed. The backend
is an HTTP server on this machine that takes every event.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from components.datasets.credit import write_loanapp
from components.datasets.fraud import generate
from serinus.lineage import journal
from tests.support.openlineage_server import receiving

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = {"fraud": "model.yaml", "credit": "model-mitigated.yaml"}
NOWHERE = "http://127.0.0.1:9"
"""Nothing listens on the discard port."""


def run(model: str, place: Path, data: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Wall clock and CPU seconds of one run with nothing in its cache."""
    files = ROOT / "models" / model
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("OPENLINEAGE", "SERINUS_LINEAGE"))}
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [
            sys.executable, "-m", "pipelines", "run", "--contract", str(files / "contract.yaml"), "--config",
            str(files / CONFIGS[model]), "--data", str(data), "--home", str(place), "--as", "bench",
        ],
        cwd=ROOT,
        env=plain | environment,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def main(
    model: Annotated[str, typer.Option(help="fraud: generated records; credit: 1,989 real ones.")] = "fraud",
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    customers: Annotated[int, typer.Option(help="Of the generated records; 1,500 give some 270,000.")] = 1500,
    days: int = 120,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Measure and print."""
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="lineage-") as scratch, receiving() as receiver:
        data = Path(scratch) / "tx.csv"
        rows = (
            write_loanapp(data)
            if model == "credit"
            else generate(data, seed=7, customers=customers, terminals=3000, days=days)
        )
        variants = {
            "off": {"SERINUS_LINEAGE": "off"},
            "files": {},
            "files and a backend": {"OPENLINEAGE_URL": receiver.url},
            "files, backend down": {"OPENLINEAGE_URL": NOWHERE},
        }
        events = size = 0
        for number in range(rounds):
            order = list(variants.items())
            order = order[number % len(order) :] + order[: number % len(order)]
            for name, environment in order:
                home = Path(scratch) / "home"
                found.setdefault(name, []).append(run(model, home, data, environment))
                one = found[name][-1]
                print(
                    f"  round {number + 1}  {name:<22} wall {one[0]:.2f} s  CPU {one[1]:.2f} s",
                    file=sys.stderr,
                )
                files = journal.files(home / "lineage")
                if files:
                    events = sum(len(journal.read(path)) for path in files)
                    size = sum(path.stat().st_size for path in files)
                shutil.rmtree(home)
        received = len(receiver.bodies)
    figures = {
        name: {
            "wall": round(median(wall for wall, _ in runs), 2),
            "cpu": round(median(cpu for _, cpu in runs), 2),
            "walls": [round(wall, 2) for wall, _ in runs],
            "cpus": [round(cpu, 2) for _, cpu in runs],
        }
        for name, runs in found.items()
    }
    print(
        f"{rows:,} records, {rounds} rounds; a run's {events} events are {size:,} bytes; {received} received"
    )
    for name in variants:
        one = figures[name]
        print(f"{name:<22} wall {one['wall']:>7.2f} s   CPU {one['cpu']:>7.2f} s   {one['walls']}")
    if out is not None:
        whole = {"rows": rows, "rounds": rounds, "events": events, "bytes": size, "runs": figures}
        out.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
