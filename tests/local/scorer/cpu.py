"""CPU the scorer spends on a single row, beside a server that only answers.

    python -m tests.local.scorer.cpu [requests connections [scorer flags...]]

CPU time of all the server's threads, as the scheduler counts it, so the decision
log's writing counts too. Kept-alive connections, rows that differ, closed loop: a
figure for the processor, not for latency. The two servers take turns on the same
requests, so that what the neighbours do to the caches hits both.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.local.scorer.process import ROOT, ScorerProcess
from tests.support.bundles import small_bundle, small_home, small_records


def cpu_seconds(pid: int) -> float:
    """What the process has used since its start, all threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def answered(client: socket.socket) -> bytes:
    """Read one answer; returns the status line's code."""
    head, _, body = client.recv(65536).partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += client.recv(65536)
    return head.split(b" ", 2)[1]


def messages(names: Sequence[str]) -> list[bytes]:
    """Distinct single-row requests."""
    made: list[bytes] = []
    for row in small_records(2000, seed=3):
        body = json.dumps({"data": {"names": names, "ndarray": [[row[name] for name in names]]}})
        head = f"POST /api/v1.0/predictions HTTP/1.1\r\nHost: scorer\r\nContent-Length: {len(body)}\r\n\r\n"
        made.append((head + body).encode())
    return made


@contextmanager
def null_server() -> Generator[tuple[int, int]]:
    """Process id and port of the floor."""
    command = [sys.executable, "-m", "tests.local.scorer.null"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate(timeout=20)


def spent(pid: int, clients: Sequence[socket.socket], requests: list[bytes], count: int) -> float:
    """Microseconds of CPU per request."""
    before = cpu_seconds(pid)
    for i in range(0, count, len(clients)):
        for k, client in enumerate(clients):
            client.sendall(requests[(i + k) % len(requests)])
        if any(answered(client) != b"200" for client in clients):
            raise AssertionError("a request was refused")
    return (cpu_seconds(pid) - before) / count * 1e6


def connected(port: int, count: int) -> list[socket.socket]:
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for client in clients:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return clients


def compare(count: int, *flags: str, connections: int = 8, rounds: int = 9) -> tuple[float, float]:
    """Median microseconds per request of the scorer and of the null server, in turns."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        bundle, home = small_bundle(place), small_home(place)
        requests = messages(bundle.contract.feature_names)
        with (
            null_server() as (null_pid, null_port),
            ScorerProcess(bundle.path, home.root, *flags) as scorer,
        ):
            clients, null_clients = connected(scorer.port, connections), connected(null_port, connections)
            ours: list[float] = []
            floor: list[float] = []
            for turn in range(rounds + 1):
                mine = spent(scorer.pid, clients, requests, count // rounds)
                null = spent(null_pid, null_clients, requests, count // rounds)
                if turn:  # the first is to warm up
                    ours.append(mine)
                    floor.append(null)
            for client in (*clients, *null_clients):
                client.close()
    return statistics.median(ours), statistics.median(floor)


def main() -> None:
    count, connections = (int(text) for text in sys.argv[1:3]) if len(sys.argv) > 2 else (18_000, 8)
    flags = sys.argv[3:] or ["--explain", "never"]
    ours, floor = compare(count, *flags, connections=connections)
    print(
        f"{' '.join(flags)}: {ours:.1f} us of CPU per request, null server {floor:.1f}, {ours / floor:.2f} x"
    )


if __name__ == "__main__":
    main()
