"""Rows per second of whole batches over HTTP beside the bare library, each on the server's core."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .load import Load
from .models import Files
from .process import SERVER_CORE, Server, free_port
from .systems import PEERS, Place, System, environment
from .visit import Plan
from .wire import v1, v2, v2_binary, write_requests

SIZES = (32, 1000)
ROUNDS = 3
SYSTEMS = ("ours-never-off", "ours-never")


def run(systems: Sequence[System], files: Files, plan: Plan, work: Path, venvs: Path) -> dict[str, Any]:
    """Interleaved rounds; each entry's list holds rows/s by round."""
    chosen = [s for s in systems if s.key in SYSTEMS and not s.missing(files, venvs)]
    if not chosen:
        return {"failed": "no row of ours to compare was chosen"}
    out: dict[str, list[float]] = {}
    errors: dict[str, int] = {}
    for round_ in range(ROUNDS):
        order: list[System | None] = [None, *chosen]
        random.Random(round_).shuffle(order)
        for system in order:
            if system is None:
                for size in SIZES:
                    out.setdefault(f"bare/{size}", []).append(bare(files, size, plan.tail / 2))
            else:
                _over_http(system, files, plan, work, venvs, out, errors)
    return {"rows_per_s": out, "errors": errors}


def _over_http(
    system: System, files: Files, plan: Plan, work: Path, venvs: Path, out: dict[str, list[float]],
    errors: dict[str, int],
) -> None:  # fmt: skip
    place = Place(
        free_port(), (free_port(), free_port()), work / "starts" / "batches", "nbatches", files, venvs
    )
    x = np.load(files.rows)
    server = Server(system.command(place), environment(system, place), place.directory)
    try:
        server.wait_ready(place.port, system.wire.message(x[:1]), plan.start)
        name = "bench-lightgbm"
        for size in SIZES:
            for wire in (v1(), v2(name), v2_binary(name)):
                path = work / "requests" / f"batch-{wire.name}-{size}".replace(" ", "_")
                if not path.exists():
                    starts = range(0, len(x) - size + 1, size)
                    write_requests(path, [wire.message(x[i : i + size]) for i in list(starts)[:100]])
                load = Load(place.port, "http", path, spin=plan.spin)
                try:
                    load.run(server, seconds=0.3, connections=2)
                    stretch = load.run(server, seconds=plan.tail / 2, connections=2)
                finally:
                    load.close()
                key = f"{system.key}/{wire.name}/{size}"
                if stretch["errors"]:
                    errors[key] = errors.get(key, 0) + sum(stretch["errors"].values())
                out.setdefault(key, []).append(round(stretch["answered"] * size / stretch["seconds"]))
    finally:
        server.stop()


def bare(files: Files, size: int, seconds: float) -> float:
    """Rows/s of ``Booster.predict`` with one thread in a process of its own, on the server's core."""
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, str(PEERS / "bare.py")]
    done = subprocess.run(
        [*command, str(files.booster), str(files.rows), str(size), str(seconds)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)
