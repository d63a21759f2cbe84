"""One scorer takes over from another under load, and nobody's request fails."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from pathlib import Path

import pytest

from serinus.events import read_decisions
from tests.local.scorer.load import until
from tests.local.scorer.process import ScorerProcess
from tests.support.bundles import small_bundle, small_home, small_records

pytestmark = pytest.mark.local
NAMES = ["amount", "hour", "channel", "days_since_last", "merchant_risk"]
BODIES = [
    json.dumps({"data": {"names": NAMES, "ndarray": [[row[name] for name in NAMES]]}}).encode()
    for row in small_records(100, seed=5)
]


class Clients:
    """Threads that ask over kept-alive connections and, as any client does, open a new one when told
    to close. They never ask again: each failure counts."""

    def __init__(self, port: int, workers: int = 6) -> None:
        self.answered: list[str] = []
        self.failed: list[str] = []
        self.stop = threading.Event()
        self._port = port
        self._threads = [threading.Thread(target=self._ask, args=(worker,)) for worker in range(workers)]
        for thread in self._threads:
            thread.start()

    def _ask(self, worker: int) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        i = 0
        while not self.stop.is_set():
            puid = f"{worker}-{i}"
            i += 1
            try:
                client.request("POST", "/predict", BODIES[i % len(BODIES)], {"Seldon-Puid": puid})
                answer = client.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"{puid}: {error!r}")
                client.close()
                continue
            (self.answered if answer.status == 200 else self.failed).append(puid)

    def reach(self, count: int) -> None:
        """Wait until as many more are answered."""
        target = len(self.answered) + count
        until(lambda: len(self.answered) >= target)

    def join(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive(), "a request was never answered"


def test_a_rolling_restart_behind_one_port_loses_no_request(tmp_path: Path) -> None:
    bundle, home = small_bundle(tmp_path), small_home(tmp_path)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

        def scorer(name: str) -> ScorerProcess:
            log = home.decisions / f"{name}.jsonl"
            # It waits for its clients' next request no longer than that takes; a busy machine may take its time.
            flags = ("--port", str(port), "--reuse-port", "--log", str(log), "--drain-grace", "30")
            return ScorerProcess(bundle.path, home.root, *flags)

        with scorer("a") as first:
            clients = Clients(port)
            try:
                clients.reach(300)
                with scorer("b") as second:
                    first.terminate()
                    assert first.wait() == (0, "")
                    clients.reach(300)
                    with scorer("c") as third:
                        second.terminate()
                        assert second.wait() == (0, "")
                        clients.reach(300)
                        clients.join()
                        third.terminate()
                        assert third.wait() == (0, "")
            finally:
                clients.join()
    assert clients.failed == []
    logged = [{event.id for event in read_decisions(home.decisions / f"{n}.jsonl")} for n in "abc"]
    assert all(logged)
    assert set(clients.answered) == set().union(*logged)
