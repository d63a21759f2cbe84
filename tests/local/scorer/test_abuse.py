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
    return socket.create_connection(("127.0.0.1", port), timeout=60)


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

        # Before anybody else comes and goes, and before the slow ones' time is up: how many there are is known.
        crowd = [dial(scorer.port) for _ in range(300)]
        assert turned_away(crowd) == 101 + 300 - 300
        for client in crowd:
            client.close()
        until(lambda: served(scorer.port))  # it has noticed that they left

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

        with connection(scorer.port) as client:
            for _ in range(200):
                assert client.post("/predict", ONE)[0] == 200
            assert client.get("/ready")[0] == 200
        for client in drip:
            assert last_words(client).startswith(b"HTTP/1.1 408")
            client.close()
        deaf.close()
        scorer.terminate()
        assert scorer.wait() == (0, "")


def turned_away(crowd: list[socket.socket]) -> int:
    """How many were: the others hear nothing until they ask. The last one is, and who came before was told before."""
    select.select([crowd[-1]], [], [], 60)
    told, _, _ = select.select(crowd, [], [], 0)
    return sum(client.recv(100).startswith(b"HTTP/1.1 503") for client in told)


def test_single_rows_are_answered_while_large_batches_are_scored(tmp_path: Path) -> None:
    bundle, home = small_bundle(tmp_path), small_home(tmp_path)
    batch = json.dumps({"data": {"ndarray": ROWS * 20}}).encode()
    with ScorerProcess(bundle.path, home.root, "--explain", "always") as scorer:
        done = threading.Event()
        statuses: list[int] = []
        singles = [0]
        meanwhile: list[int] = []

        def ask_batches() -> None:
            with connection(scorer.port) as client:
                for _ in range(3):
                    before = singles[0]
                    statuses.append(client.post("/predict", batch)[0])
                    meanwhile.append(singles[0] - before)
            done.set()

        with connection(scorer.port) as client:
            assert client.post("/predict", ONE)[0] == 200
            asking = threading.Thread(target=ask_batches)
            asking.start()
            while not done.is_set():
                assert client.post("/predict", ONE)[0] == 200
                singles[0] += 1
        asking.join(60)
    assert statuses == [200, 200, 200]
    assert max(meanwhile) > 4, meanwhile  # one or two, if each had waited for a batch


def test_an_idle_scorer_uses_next_to_no_cpu(tmp_path: Path) -> None:
    bundle, home = small_bundle(tmp_path), small_home(tmp_path)
    with ScorerProcess(bundle.path, home.root) as scorer:
        log = home.decisions / "small-champion.jsonl"
        with connection(scorer.port) as client:
            assert client.post("/predict", ONE)[0] == 200
        until(lambda: log.read_bytes().endswith(b"\n"))  # nothing is left to do
        before, woken, began = cpu_seconds(scorer.pid), wakings(scorer.pid), time.monotonic()
        time.sleep(2)
        used, woken = cpu_seconds(scorer.pid) - before, wakings(scorer.pid) - woken
        passed = time.monotonic() - began
    # It looks after its log every 50 ms. How long a look takes is the machine's affair, how many there are is not.
    assert woken / passed < 60
    assert used / passed < 0.2


def wakings(pid: int) -> int:
    """How often its threads have waited for something and gone on."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    lines = [line for task in tasks for line in (task / "status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
