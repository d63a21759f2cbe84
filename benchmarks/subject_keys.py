"""What a person's key costs, in a file and in PostgreSQL: ``python -m benchmarks.subject_keys [decisions]``.

A key known in memory, one that the store knows (memory is empty), one made and kept for somebody new
(500 at a time, as the recorder's writes come), and a batch of 500 whom the store knows. Wall time and process
CPU of a decision, the least of seven runs each. PostgreSQL is a real one on this machine, by a unix socket, by TCP
on the loopback address, and by TCP with TLS (``verify-full``): a network adds its round trip to each ``found`` and
to each batch.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from serinus.contract.types import Privacy
from serinus.home import Home
from serinus.privacy import MasterKey, open_store
from serving.scorer.subjects import Subjects
from tests.support.apiserver import free_port
from tests.support.certs import Authority
from tests.support.postgres import PostgresServer

RUNS = 7
PART = 500


def least(work: Callable[[], object], count: int) -> tuple[float, float]:
    """Microseconds per decision: wall time and CPU of this process."""
    wall: list[float] = []
    spent: list[float] = []
    for _ in range(RUNS):
        began, before = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - began)
        spent.append(time.process_time() - before)
    return min(wall) / count * 1e6, min(spent) / count * 1e6


def measure(environment: dict[str, str], home: Home, count: int) -> dict[str, tuple[float, float]]:
    """Each case in one store."""
    runs = iter(range(1_000_000))

    def keeper() -> Subjects:
        writer = open_store(home, environment, create=True)
        reader = open_store(home, environment, at_once=True)
        # Nobody listens for erasures here, which would end the service after a while.
        return Subjects(Privacy(subject="customer"), reader, writer, now=time.time, clock=lambda: 0.0)

    def ask(subjects: Subjects, run: int) -> None:
        for i in range(count):
            subjects.keys(f"r{i}", (f"{run}-{i}",), 1)
            if i % PART == PART - 1:
                subjects.flush()
        subjects.flush()

    def batches(subjects: Subjects) -> None:
        for first in range(0, count, PART):
            subjects.keys("b", tuple(f"0-{i}" for i in range(first, first + PART)), PART)

    met, blank = keeper(), keeper()
    ask(met, next(runs))
    for i in range(PART):
        met.keys("r", (f"0-{i}",), 1)

    def forgetful(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            blank._known.clear()
            work()

        return run

    found = {
        "known in memory": least(lambda: [met.keys("r", (f"0-{i % PART}",), 1) for i in range(count)], count),
        "found in the store": least(forgetful(lambda: ask(blank, 0)), count),
        "found in the store, 500 at once": least(forgetful(lambda: batches(blank)), count),
        "made for somebody new, and kept": least(lambda: ask(met, next(runs)), count),
    }
    met.close()
    blank.close()
    return found


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    print(
        f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {count:,} decisions, least of {RUNS}"
    )
    with tempfile.TemporaryDirectory() as directory:
        server = PostgresServer("ssl=on", port=free_port(), hba=["host all all 127.0.0.1/32 trust"])
        authority = Authority(Path(directory))
        cert, key = (server.own(file) for file in authority.sign("server"))
        server.options += [f"ssl_cert_file={cert}", f"ssl_key_file={key}"]
        tcp = f"postgresql://serinus@127.0.0.1:{server.port}/keys"
        urls = {
            "PostgreSQL, socket": server.url,
            "TCP": f"{tcp}?sslmode=disable",
            "TCP and TLS": f"{tcp}?sslmode=verify-full&sslrootcert={authority.ca}",
        }
        with server:
            results = [measure({}, Home(Path(directory, "file")), count)]
            for i, url in enumerate(urls.values()):
                server.empty()
                far = Home(Path(directory, f"far{i}"))
                MasterKey.create(far.root / "privacy" / "master.key")
                results.append(measure({"SERINUS_SUBJECT_KEYS": url}, far, count))
        print(f"| µs a decision: wall (CPU of the scorer) | SQLite | {' | '.join(urls)} |")
        for name in results[0]:
            cells = " | ".join(f"{found[name][0]:.1f} ({found[name][1]:.1f})" for found in results)
            print(f"| {name} | {cells} |")


if __name__ == "__main__":
    main()
