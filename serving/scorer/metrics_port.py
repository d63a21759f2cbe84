"""Prometheus' metrics on a port of their own, where Seldon's operator has its monitors look for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from serving.scorer.http1 import Request
from serving.scorer.service import Reply


class MetricsApp:
    """Answers one path (and a query after it) with the metrics, and nothing else.

    Args:
        metrics: makes the answer.
        path: where they are asked for.
    """

    def __init__(self, metrics: Callable[[], Reply], path: str, stamp: bytes) -> None:
        self._metrics = metrics
        self._path = path.encode()
        self.stamp = stamp

    def answer(self, request: Request) -> Reply | Awaitable[Reply]:
        """The metrics for a GET of the path; 404 and 405 otherwise."""
        if request.url.partition(b"?")[0] != self._path:
            return Reply(404, f"the metrics are at {self._path.decode()}\n".encode())
        if request.method not in (b"GET", b"HEAD"):
            return Reply(405, b"use GET\n")
        return self._metrics()

    def refuse(self, url: bytes, status: int, message: str) -> Reply:
        """What is not a whole request."""
        return Reply(status, message.encode())
