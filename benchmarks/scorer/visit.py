"""One life of one server: start, prove, warm up, search or verify, tails, CPU, stop."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checks import Wrong, check
from .load import Load
from .models import Files
from .process import Server, free_port
from .search import Verdict, highest
from .systems import Place, System, environment, messages
from .wire import write_requests

LIMIT_MS = 5.0
CPU_RATES = (1000, 500, 200, 100, 50, 20, 10, 5)


@dataclass(frozen=True)
class Plan:
    """How long things take, in seconds.

    Attributes:
        probe: least of a probe of the search; a slow server's is longer, for enough answers.
        tail: each of the two stretches at half the highest rate, and the CPU stretch.
        search: bound of the whole search.
        spin: whether the generator spins between events (off on a machine that others use).
    """

    warm: float = 1.5
    probe: float = 1.5
    tail: float = 3.0
    search: float = 26.0
    start: float = 90.0
    spin: bool = True
    limit_ms: float = LIMIT_MS


def visit(
    system: System, files: Files, work: Path, venvs: Path, plan: Plan, *, seed: int, known: float | None,
    null_rates: tuple[int, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """Measure a row once.

    Args:
        known: its highest rate from an earlier round; the search then starts there.
        null_rates: further rates whose CPU per request is wanted.

    Raises:
        NotStarted, Wrong: what makes the row a failure; the server is stopped in any case.
    """
    place = Place(
        free_port(), (free_port(), free_port()), work / "starts" / system.key, f"n{seed:08x}", files, venvs
    )
    first = messages(system, files, 1)[0]
    requests = work / "requests" / hashlib.sha256(first).hexdigest()[:16]  # rows that ask alike share a file
    if not requests.exists():
        write_requests(requests, messages(system, files))
    place.directory.mkdir(parents=True, exist_ok=True)
    server = Server(system.command(place), environment(system, place), place.directory)
    load = None
    try:
        ready = server.wait_ready(place.port, first, plan.start, grpc=system.kind == "grpc")
        proof = check(system, place)
        load = Load(place.port, system.kind, requests, spin=plan.spin)
        measured = _measure(server, load, plan, seed, known, null_rates)
    finally:
        if load is not None:
            load.close()
        server.stop()
    return {"ready_s": round(ready, 3), "proof": proof, **measured}


def _measure(
    server: Server, load: Load, plan: Plan, seed: int, known: float | None, null_rates: tuple[int, ...]
) -> dict[str, Any]:
    def settle() -> None:
        """A moment for a backlog that a failed probe left behind."""
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            calm = load.run(server, seconds=0.1, connections=1)
            if calm["answered"] and calm["p99"] < 4 * max(plan.limit_ms, quick["p50"]):
                return

    load.run(server, seconds=plan.warm, connections=8)
    quick = load.run(server, seconds=0.7, connections=1)
    closed = load.run(server, seconds=1.0, connections=8)
    if not closed["answered"] or closed["errors"]:
        raise Wrong(f"under load it answers with {closed['errors'] or 'nothing'}")
    throughput = closed["answered"] / max(closed["seconds"], 1e-9)
    probes: list[dict[str, Any]] = []

    def probe(limit: float) -> Callable[[float], Verdict]:
        def at(rate: float) -> Verdict:
            seconds = min(4.0, max(plan.probe, 400 / rate))
            stretch = load.run(
                server, rate=rate, law="poisson", seconds=seconds, seed=seed + len(probes), give_up=True
            )
            probes.append({**stretch, "histogram": {}})
            if stretch["p99"] is not None and stretch["p99"] <= limit and not stretch["errors"]:
                return "held"
            if stretch["gave_up"]:
                settle()
            return "void" if stretch["void"] else "failed"

        return at

    deadline = time.monotonic() + plan.search
    start = known or 0.75 * throughput
    found = highest(
        probe(plan.limit_ms), start, factor=1.12 if known else 1.3, may_go_on=lambda: time.monotonic() < deadline
    ) if quick["p50"] is not None and quick["p50"] < 3 * plan.limit_ms else None  # fmt: skip
    rate = found.rate if found is not None else 0.0
    settle()
    stretches: dict[str, dict[str, Any]] = {}
    half = rate / 2 or throughput / 2
    for law in ("poisson", "constant"):
        for _ in range(2):
            stretches[law] = load.run(server, rate=half, law=law, seconds=plan.tail, seed=seed + 900)
            if not stretches[law]["void"]:
                break
    fixed = next((r for r in CPU_RATES if r <= 0.6 * throughput), CPU_RATES[-1])
    cpu = {
        str(r): load.run(server, rate=r, law="poisson", seconds=plan.tail, seed=seed + 901, connections=8)
        for r in sorted({fixed, *null_rates})
    }
    return {
        "closed_1": quick,
        "closed_8": {**closed, "rps": round(throughput, 1)},
        "max_rate": round(rate, 1),
        "limited_by_generator": found.limited if found is not None else False,
        "too_slow": found is None or rate == 0,
        "probes": probes,
        "half_rate": round(half, 1),
        "half": stretches,
        "cpu_rate": fixed,
        "cpu": cpu,
        **server.memory(),
    }
