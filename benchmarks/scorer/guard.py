"""``python -m benchmarks.scorer.guard``: the scorer's CPU per request beside the null server's, held to a stored ratio.

For CI, on a machine that is not quiet: no latency and no rate is looked at, only the process clocks of the servers,
which a neighbour lengthens a little (caches) and does not decide. All servers live side by side; in every round
each answers the same closed loop in turn, so that a noisy minute meets them all, and the least of the rounds counts.
Where a ratio is too high, more rounds are given to it before that is a verdict.

Exit code 0 within the bounds, 1 beyond, 2 nothing was measured. ``--store`` writes the ratios that later runs are
held to.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checks import Wrong, check
from .load import Load
from .models import Files, prepare
from .process import NotStarted, Server, free_port
from .systems import Place, System, all_systems, environment, messages
from .wire import write_requests

KEYS = ("ours-never-off", "ours-never", "ours-v2", "ours-always")
STORED = Path("docs/benchmarks/scorer/guard.json")
MARGIN = 2.0
"""Generous: neighbours take caches, which a server that does nothing hardly needs."""
CONNECTIONS, REQUESTS = 8, 2000


@dataclass(frozen=True)
class Verdict:
    """One row's ratio to the null server, and the most it may be."""

    key: str
    ratio: float
    bound: float

    @property
    def held(self) -> bool:
        """Whether it is within its bound."""
        return self.ratio <= self.bound


def judge(
    spent: Mapping[str, Sequence[float]], stored: Mapping[str, float], margin: float = MARGIN
) -> list[Verdict]:
    """The least of the rounds over the null server's least, held to the stored ratio times the margin.

    Args:
        spent: CPU microseconds a request, by row and round; the null server's under ``null``.
        stored: ratios of an earlier run; a row without one is held to nothing.
    """
    floor = min(spent["null"])
    out: list[Verdict] = []
    for key in spent:
        if key != "null":
            out.append(Verdict(key, min(spent[key]) / floor, stored.get(key, float("inf")) * margin))
    return out


class Row:
    """One server with its generator, alive."""

    def __init__(self, system: System, files: Files, work: Path, stack: ExitStack) -> None:
        nonce = f"n{os.getpid():x}"
        place = Place(
            free_port(),
            (free_port(), free_port()),
            work / "starts" / f"guard-{system.key}",
            nonce,
            files,
            work,
        )
        requests = work / "requests" / f"guard-{system.wire.name}".replace(" ", "-")
        write_requests(requests, messages(system, files, REQUESTS))
        self._server = Server(system.command(place), environment(system, place), place.directory)
        stack.callback(self._server.stop)
        self._server.wait_ready(place.port, messages(system, files, 1)[0], 90)
        check(system, place)
        self._load = Load(place.port, system.kind, requests, spin=False)
        stack.callback(self._load.close)
        self.cost(0.3)

    def cost(self, seconds: float) -> float:
        """CPU microseconds a request in a closed loop. Raises Wrong where it answers with errors."""
        stretch: dict[str, Any] = self._load.run(self._server, seconds=seconds, connections=CONNECTIONS)
        if stretch["errors"] or not stretch["answered"]:
            raise Wrong(f"under load it answers with {stretch['errors'] or 'nothing'}")
        return stretch["cpu_us"]


def measure(
    files: Files, work: Path, stored: Mapping[str, float], *, rounds: int, most: int, seconds: float
) -> dict[str, list[float]]:
    """CPU microseconds a request by row, a figure a round; ``rounds`` of them, up to ``most`` while a row is beyond."""
    chosen = [s for s in all_systems() if s.key in ("null", *KEYS)]
    spent: dict[str, list[float]] = {s.key: [] for s in chosen}
    with ExitStack() as stack:
        rows = {system.key: Row(system, files, work, stack) for system in chosen}
        for round_ in range(most):
            order = list(rows)
            random.Random(round_).shuffle(order)
            for key in order:
                spent[key].append(rows[key].cost(seconds))
            if round_ + 1 >= rounds and all(v.held for v in judge(spent, stored)):
                break
    return spent


def main() -> int:
    """Measures and judges."""
    parser = argparse.ArgumentParser(prog="benchmarks.scorer.guard", description=__doc__)
    parser.add_argument("--stored", type=Path, default=STORED, help="ratios that this run is held to")
    parser.add_argument("--store", action="store_true", help="write them, and judge nothing")
    parser.add_argument("--work", type=Path, default=Path(".tools/bench-scorer/work"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--most", type=int, default=25, help="rounds at most, while a row is beyond its bound"
    )
    parser.add_argument("--seconds", type=float, default=0.5, help="of each server's turn in a round")
    args = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        print("guard: not measured: it needs two cores, one for the server", file=sys.stderr)
        return 2
    stored: dict[str, float] = {}
    if not args.store:
        stored = json.loads(args.stored.read_text())["ratio"]
    work = args.work.resolve()
    try:
        spent = measure(
            prepare(work, ["lightgbm"]),
            work,
            stored,
            rounds=args.rounds,
            most=args.most,
            seconds=args.seconds,
        )
    except (NotStarted, Wrong, OSError) as error:
        print(f"guard: not measured: {error}", file=sys.stderr)
        return 2
    verdicts = judge(spent, stored)
    print(f"null server: {min(spent['null']):.1f} us of CPU a request, least of {len(spent['null'])} rounds")
    for v in verdicts:
        text = "" if v.held else "  BEYOND ITS BOUND"
        print(f"{v.key:16} {min(spent[v.key]):7.1f} us, {v.ratio:5.2f} times; at most {v.bound:.2f}{text}")
    if args.store:
        args.stored.parent.mkdir(parents=True, exist_ok=True)
        ratio = {v.key: round(v.ratio, 2) for v in verdicts}
        args.stored.write_text(
            json.dumps({"margin": MARGIN, "ratio": ratio}, indent=1, sort_keys=True) + "\n"
        )
    if all(v.held for v in verdicts):
        return 0
    print(
        "guard: a request costs more CPU than it did; `python -m benchmarks.scorer run` says where",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
