"""Requests through the gateway, at a steady rate, each counted by its answer."""

from __future__ import annotations

import http.client
import itertools
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple, Self

from .node import GATEWAY

BODY = json.dumps({"data": {"names": ["x"], "ndarray": [[1.0]]}}).encode()


_NAMED = re.compile(rb'"predictor":\s*"([^"]+)"')


def _who(headers: http.client.HTTPMessage, body: bytes) -> str:
    found = _NAMED.search(body)
    return headers.get("X-Predictor", "") or (found[1].decode() if found else "")


class Answer(NamedTuple):
    """One request: when it was sent (monotonic seconds), its status (0: no answer), who answered, how long it took."""

    at: float
    code: int
    predictor: str
    seconds: float


class Traffic:
    """A client that never tries again: what fails is counted as failed.

    Args:
        rate: requests per second over all connections.
        limit: stop by itself after so many.
        body: the request of that number.
    """

    def __init__(
        self,
        namespace: str,
        name: str,
        rate: float = 50.0,
        connections: int = 4,
        limit: int = 60_000,
        body: Callable[[int], bytes] = lambda _: BODY,
        gateway: str = GATEWAY,
    ) -> None:
        self._path = f"/seldon/{namespace}/{name}/api/v1.0/predictions"
        self._rate, self._limit, self._body, self._gateway = rate, limit, body, gateway
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(connections)]
        self._begin = 0.0
        self.answers: list[Answer] = []

    def __enter__(self) -> Self:
        self._begin = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        """Until the limit is reached, or it was stopped."""
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        connection = self._connect()
        while not self._stop.is_set():
            with self._lock:
                number = next(self._numbers)
            due = self._begin + number / self._rate
            if number >= self._limit or self._stop.wait(max(0.0, due - time.monotonic())):
                break
            at = time.monotonic()
            try:
                connection.request(
                    "POST", self._path, self._body(number), {"Content-Type": "application/json"}
                )
                response = connection.getresponse()
                code, predictor = response.status, _who(response.headers, response.read())
            except (OSError, http.client.HTTPException):
                code, predictor = 0, ""
                connection.close()
                connection = self._connect()
            self.answers.append(Answer(at, code, predictor, time.monotonic() - at))
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        host, _, port = self._gateway.partition(":")
        return http.client.HTTPConnection(host, int(port), timeout=30)

    def __len__(self) -> int:
        return len(self.answers)

    def since(self, at: float) -> list[Answer]:
        """What was asked since then."""
        return [answer for answer in self.answers if answer.at >= at]


def codes(answers: Iterable[Answer]) -> Counter[int]:
    """How many of each status."""
    return Counter(answer.code for answer in answers)


def failed(answers: Iterable[Answer]) -> list[Answer]:
    """Those without a 200."""
    return [answer for answer in answers if answer.code != 200]


def answered_by(answers: Iterable[Answer]) -> Counter[str]:
    """How many each predictor answered."""
    return Counter(answer.predictor for answer in answers if answer.predictor)
