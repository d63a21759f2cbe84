"""CPU the scorer spends on a single-row request: ``python -m tests.local.scorer.cpu [requests] [explain]``.

User and system time from ``/proc/PID/stat`` around the requests, all threads
included, so the decision log's writing counts too. One kept-alive connection,
one segment a request, rows that differ, closed loop: a figure for the
processor, not for latency.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import time
from pathlib import Path

from tests.local.scorer.process import ScorerProcess
from tests.support.bundles import small_bundle, small_home, small_records


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(client: socket.socket, message: bytes) -> bytes:
    """Send one request; returns the status line's code."""
    client.sendall(message)
    head, _, body = client.recv(65536).partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += client.recv(65536)
    return head.split(b" ", 2)[1]


def messages(names: list[str]) -> list[bytes]:
    """Distinct single-row requests."""
    made: list[bytes] = []
    for row in small_records(2000, seed=3):
        body = json.dumps({"data": {"names": names, "ndarray": [[row[name] for name in names]]}})
        head = f"POST /api/v1.0/predictions HTTP/1.1\r\nHost: scorer\r\nContent-Length: {len(body)}\r\n\r\n"
        made.append((head + body).encode())
    return made


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    explain = sys.argv[2] if len(sys.argv) > 2 else "never"
    times: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        bundle, home = small_bundle(place), small_home(place)
        requests = messages(list(bundle.contract.feature_names))
        with (
            ScorerProcess(bundle.path, home.root, "--explain", explain) as scorer,
            socket.create_connection(("127.0.0.1", scorer.port)) as client,
        ):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for message in requests[:500]:
                ask(client, message)
            before, started = cpu_seconds(scorer.pid), time.perf_counter()
            for i in range(count):
                at = time.perf_counter()
                if ask(client, requests[i % len(requests)]) != b"200":
                    raise SystemExit("a request was refused")
                times.append(time.perf_counter() - at)
            wall, spent = time.perf_counter() - started, cpu_seconds(scorer.pid) - before
    times.sort()
    p50, p99 = (times[count * q // 100] * 1e3 for q in (50, 99))
    print(
        f"explain={explain} requests={count} cpu_us_per_request={spent / count * 1e6:.0f} "
        f"p50_ms={p50:.2f} p99_ms={p99:.2f} rps={count / wall:.0f}"
    )


if __name__ == "__main__":
    main()
