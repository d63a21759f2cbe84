"""CPU per request of HTTP stacks on a fixed answer: ``python measure.py [STACK...]``.

Closed loop from one client over 1 and over 16 kept-alive connections, a body of
800 bytes. CPU is the scheduler's own count for every thread of the server and
its children, so that neighbours on the machine disturb it little; stacks take
turns (five rounds) and the median is told.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
STACKS = ("protocol", "scorer", "protocol-asyncio", "uvicorn", "granian-rsgi", "granian-asgi", "robyn")
BODY = json.dumps(
    {"data": {"names": [f"feature_{i:02d}" for i in range(30)], "ndarray": [[i * 1.25 for i in range(30)]]}}
).encode()
MESSAGE = (
    b"POST /predict HTTP/1.1\r\nHost: scorer\r\nAccept: */*\r\nUser-Agent: measure\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


def tree(pid: int) -> list[int]:
    """A process and its children."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += tree(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process tree, in seconds, as the scheduler counts it."""
    return (
        sum(
            int((task / "schedstat").read_text().split()[0])
            for process in tree(pid)
            for task in Path(f"/proc/{process}/task").iterdir()
        )
        / 1e9
    )


def read_answer(client: socket.socket) -> None:
    data = client.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += client.recv(65536)


def closed_loop(port: int, connections: int, count: int) -> None:
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    for client in clients:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(count // connections):
        for client in clients:
            client.sendall(MESSAGE)
        for client in clients:
            read_answer(client)
    for client in clients:
        client.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def one(stack: str, count: int) -> dict[int, float]:
    """Microseconds of CPU per request, by connections."""
    port = free_port()
    path = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    server = subprocess.Popen(
        [sys.executable, str(HERE / "servers.py"), stack, str(port)],
        env={**os.environ, "PYTHONPATH": path},
        cwd=HERE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                closed_loop(port, 1, 500)
                break
            except (OSError, ValueError):
                if time.monotonic() > deadline or server.poll() is not None:
                    raise SystemExit(f"{stack} did not start") from None
                time.sleep(0.1)
        spent: dict[int, float] = {}
        for connections in (1, 16):
            before = cpu_seconds(server.pid)
            closed_loop(port, connections, count)
            spent[connections] = (cpu_seconds(server.pid) - before) / count * 1e6
        return spent
    finally:
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def main() -> None:
    stacks = sys.argv[1:] or STACKS
    seen: dict[str, list[dict[int, float]]] = {stack: [] for stack in stacks}
    for _ in range(5):
        for stack in stacks:
            seen[stack].append(one(stack, 6000))
    print("| stack | CPU us per request, 1 connection | 16 connections |\n|---|---:|---:|")
    for stack, rounds in seen.items():
        one_, many = (statistics.median(r[c] for r in rounds) for c in (1, 16))
        print(f"| {stack} | {one_:.1f} | {many:.1f} |")


if __name__ == "__main__":
    main()
