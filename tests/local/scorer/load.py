"""Load on a scorer by kept-alive connections, which remembers every answer that arrived and when."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable

from tests.support.bundles import small_records

NAMES = ["amount", "hour", "channel", "days_since_last", "merchant_risk"]
BODIES = [
    json.dumps({"data": {"names": NAMES, "ndarray": [[row[name] for name in NAMES]]}}).encode()
    for row in small_records(200, seed=11)
]


class Load:
    """Threads that ask until the scorer is gone or ``stop``; an answer that arrives whole counts.

    Attributes:
        answered: request id and time of arrival (monotonic) of each 200.
        refused: status of every other answer.
    """

    def __init__(self, port: int, workers: int = 4, *, prefix: str = "") -> None:
        self.answered: list[tuple[str, float]] = []
        self.refused: list[int] = []
        self._port = port
        self._prefix = prefix
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(worker,)) for worker in range(workers)]
        for thread in self._threads:
            thread.start()

    def _ask(self, worker: int) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        i = 0
        while not self._stop.is_set():
            puid = f"{self._prefix}{worker}-{i}"
            try:
                client.request("POST", "/predict", BODIES[i % len(BODIES)], {"Seldon-Puid": puid})
                answer = client.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                return
            i += 1
            if answer.status == 200:
                self.answered.append((puid, time.monotonic()))
            else:
                self.refused.append(answer.status)
                self._stop.wait(0.01)
        client.close()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()

    def join(self) -> None:
        """Until all threads have ended."""
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive(), "a request was never answered"


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    """Wait for a condition; raises AssertionError when it does not come."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come"
        pause.wait(0.005)


def pending(metrics: bytes) -> float:
    """How many decisions wait for the log, by a scorer's metrics."""
    lines = metrics.decode().splitlines()
    return float(next(line for line in lines if line.startswith("serinus_decision_log_pending")).split()[-1])
