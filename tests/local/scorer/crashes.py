"""Kill a scorer under load, again and again, and count what was answered but is not in the log.

``python -m tests.local.scorer.crashes [--durability relaxed] [--rounds 20] [--interval 50ms] [--seed 1]``

Each round: start, load from four connections, SIGKILL after a random time,
verify the log, look for every answered request id. The processes of one
installation go on with one log.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from serinus.bundle import Bundle
from serinus.events import DecisionLog, read_decisions
from serinus.home import Home
from tests.local.scorer.load import Load
from tests.local.scorer.process import ScorerProcess
from tests.support.bundles import small_bundle, small_home


@dataclass(frozen=True)
class Round:
    """``missing`` answered requests are not in the log, the oldest answered ``age`` seconds before the kill.

    ``newest``: whether none of them was answered before one that is there, on any connection.
    """

    answered: int
    logged: int
    missing: int
    age: float
    newest: bool


def crash(
    bundle: Bundle,
    home: Home,
    after: float,
    name: str,
    *flags: str,
    seen: Callable[[Load], object] = lambda load: None,
) -> Round:
    """One life, ended by SIGKILL under load: ``after`` seconds after ``seen`` saw what it waited for."""
    with ScorerProcess(bundle.path, home.root, *flags) as scorer:
        load = Load(scorer.port, prefix=f"{name}-")
        seen(load)
        threading.Event().wait(after)
        killed = time.monotonic()
        os.kill(scorer.pid, signal.SIGKILL)
        load.join()
        scorer.wait()
    assert load.refused == []
    log = home.decisions / "small-champion.jsonl"
    # The next start: it cuts the line that the kill tore.
    DecisionLog(log).close()
    logged = {event.id for event in read_decisions(log)}
    missing = [at for puid, at in load.answered if puid not in logged]
    mine = sum(puid.startswith(f"{name}-") for puid in logged)
    newest = True
    by_worker: dict[str, bool] = {}  # whether one of its requests was missed already
    for puid, _ in load.answered:
        worker = puid.removeprefix(f"{name}-").partition("-")[0]
        newest &= not (by_worker.get(worker, False) and puid in logged)
        by_worker[worker] = by_worker.get(worker, False) or puid not in logged
    age = max((killed - at for at in missing), default=0.0)
    return Round(len(load.answered), mine, len(missing), age, newest)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--durability", choices=("strict", "relaxed"), default="relaxed")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--interval", default="50ms")
    parser.add_argument("--rotate-bytes", default="256KiB")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    flags = ["--durability", given.durability, "--log-interval", given.interval]
    flags += ["--log-rotate-bytes", given.rotate_bytes]
    with tempfile.TemporaryDirectory() as directory:
        bundle, home = small_bundle(Path(directory)), small_home(Path(directory))
        rounds = [crash(bundle, home, chance.uniform(0.3, 1.5), str(i), *flags) for i in range(given.rounds)]
    answered = sum(r.answered for r in rounds)
    print(
        f"durability={given.durability} interval={given.interval} kills={len(rounds)} answered={answered} "
        f"missing={sum(r.missing for r in rounds)} most_in_one_kill={max(r.missing for r in rounds)} "
        f"oldest_missing_ms={1e3 * max(r.age for r in rounds):.1f}"
    )


if __name__ == "__main__":
    main()
