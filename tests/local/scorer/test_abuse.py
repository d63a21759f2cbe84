"""Hostile and clumsy clients over real sockets: the others are answered, and nothing is said about it."""

from __future__ import annotations

import json
import random
import select
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.local.scorer.cpu import cpu_seconds
from tests.local.scorer.load import until
from tests.local.scorer.process import ScorerProcess, connection
from tests.support.bundles import small_bundle, small_home, small_records

pytestmark = pytest.mark.local
NAMES = ["amount", "hour", "channel", "days_since_last", "merchant_risk"]
ROWS = [[row[name] for name in NAMES] for row in small_records(200, seed=5)]
ONE = json.dumps({"data": {"ndarray": ROWS[:1]}}).encode()


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def last_words(client: socket.socket) -> bytes:
    """All that comes until the other side ends."""
    found = b""
    try:
        while piece := client.recv(65536):
            found += piece
    except ConnectionError:
        pass
    return found


def served(port: int) -> bool:
    with connection(port) as client:
        return client.post("/predict", ONE)[0] == 200


def test_hostile_clients_stall_nobody_and_fill_no_log(tmp_path: Path) -> None:
    bundle, home = small_bundle(tmp_path), small_home(tmp_path)
    with ScorerProcess(bundle.path, home.root, "--max-connections", "300") as scorer:
        drip = [dial(scorer.port) for _ in range(100)]
        for k, client in enumerate(drip):  # slowloris: heads and bodies that never end
            client.sendall(
                [b"POST /predict HT", b"POST /predict HTTP/1.1\r\nContent-Length: 99\r\n\r\n{"][k % 2]
            )
        deaf = dial(scorer.port)  # asks and asks, and never reads
        deaf.setblocking(False)
        asked = b"GET /metrics HTTP/1.1\r\nHost: s\r\n\r\n" * 1000
        for _ in range(50):
            try:
                deaf.send(asked)
            except BlockingIOError:
                break

        noise = random.Random(1)
        for _ in range(50):
            with dial(scorer.port) as client:
                client.sendall(noise.randbytes(noise.randrange(1, 3000)))
                client.shutdown(socket.SHUT_WR)
                assert last_words(client)[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 431")
        with dial(scorer.port) as client:
            client.sendall(b"GET / HTTP/1.1\r\n" + b"".join(b"H%d: x\r\n" % i for i in range(5000)) + b"\r\n")
            assert last_words(client).startswith(b"HTTP/1.1 431")
        with dial(scorer.port) as client:
            client.sendall(b"POST /predict HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100_000)
            assert last_words(client).startswith(b"HTTP/1.1 413")

        crowd = [dial(scorer.port) for _ in range(300)]
        assert turned_away(crowd) == 101 + 300 - 300
        for client in crowd:
            client.close()
        until(lambda: served(scorer.port))  # it has noticed that they left

        with connection(scorer.port) as client:
            for _ in range(200):
                assert client.post("/predict", ONE)[0] == 200
            assert client.get("/ready")[0] == 200
        deadline = time.monotonic() + 30
        for client in drip:
            client.settimeout(max(0.1, deadline - time.monotonic()))
            assert last_words(client).startswith(b"HTTP/1.1 408")
            client.close()
        deaf.close()
        scorer.terminate()
        assert scorer.wait() == (0, "")


def turned_away(crowd: list[socket.socket]) -> int:
    """How many were: the others hear nothing until they ask. The last one is, and who came before was told before."""
    select.select([crowd[-1]], [], [], 20)
    told, _, _ = select.select(crowd, [], [], 0)
    return sum(client.recv(100).startswith(b"HTTP/1.1 503") for client in told)


def test_single_rows_are_answered_while_large_batches_are_scored(tmp_path: Path) -> None:
    bundle, home = small_bundle(tmp_path), small_home(tmp_path)
    batch = json.dumps({"data": {"ndarray": ROWS * 20}}).encode()
    with ScorerProcess(bundle.path, home.root, "--explain", "always") as scorer:
        done = threading.Event()
        statuses: list[int] = []

        def ask_batches() -> None:
            with connection(scorer.port) as client:
                for _ in range(3):
                    statuses.append(client.post("/predict", batch)[0])
            done.set()

        asking = threading.Thread(target=ask_batches)
        asking.start()
        singles = 0
        with connection(scorer.port) as client:
            while not done.is_set():
                assert client.post("/predict", ONE)[0] == 200
                singles += 1
        asking.join(30)
    assert statuses == [200, 200, 200]
    assert singles > 12  # three, if each had waited for a batch


def test_an_idle_scorer_uses_next_to_no_cpu(tmp_path: Path) -> None:
    bundle, home = small_bundle(tmp_path), small_home(tmp_path)
    with ScorerProcess(bundle.path, home.root) as scorer:
        with connection(scorer.port) as client:
            assert client.post("/predict", ONE)[0] == 200
        time.sleep(0.5)
        before = cpu_seconds(scorer.pid)
        time.sleep(2)
        assert cpu_seconds(scorer.pid) - before < 0.04
