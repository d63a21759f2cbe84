"""Payload CloudEvents to the drift monitor, as Seldon's executor logs them.

Binary mode, one POST an event over one kept-alive connection; what has queued
up goes out in one write (HTTP pipelining), which halves what an event costs. The
queue is bounded in events and bytes; when it is full the oldest event goes,
because a drift monitor wants the present, and the loss is counted. Serving
never waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from serinus.errors import SerinusError
from serinus.tls import client_context
from serving.scorer.identity import Identity

REQUEST = "io.seldon.serving.inference.request"
RESPONSE = "io.seldon.serving.inference.response"
FEEDBACK = "io.seldon.serving.feedback"
_ATTEMPTS = 3
_BATCH = 64
_WRITE = 256 << 10


class _Event(NamedTuple):
    kind: str
    request_id: str
    protocol: str
    id: str
    at: float
    body: bytes


class PayloadSink(Protocol):
    """Where payload events go."""

    def offer(self, kind: str, request_id: str, protocol: str, body: bytes) -> None:
        """Take an event without waiting; it may be dropped."""
        ...


class NoPayloads:
    """Takes nothing: no monitor is configured."""

    def offer(self, kind: str, request_id: str, protocol: str, body: bytes) -> None:
        """Ignore the event."""


class PayloadMemory:
    """Keeps (kind, request id, protocol, body), for tests."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str, str, bytes]] = []

    def offer(self, kind: str, request_id: str, protocol: str, body: bytes) -> None:
        """Keep the event."""
        self.kept.append((kind, request_id, protocol, body))


class PayloadPoster:
    """Posts events to a URL from a task of its own (``run``).

    Args:
        url: ``http://host[:port]/path`` of the monitor, or ``https://``.
        source: the CloudEvents source: this scorer's own URL.
        dropped: told how many events were lost, each time.
        limit: events that may wait.
        limit_bytes: bytes of bodies that may wait.
        timeout: seconds for one connection or one answer.
        retry: seconds before the next attempt at a monitor that does not answer.

    Raises:
        SerinusError: ``SRN-SCORER-004`` if the URL is none; ``SRN-TLS-001`` the client's TLS files cannot be used.
    """

    def __init__(
        self,
        url: str,
        identity: Identity,
        *,
        source: str,
        dropped: Callable[[int], None],
        limit: int = 10_000,
        limit_bytes: int = 64 << 20,
        timeout: float = 2.0,
        retry: float = 0.2,
    ) -> None:
        self.host, self.port, path, secure = _parts(url)
        self._tls = client_context() if secure else None
        self._dropped = dropped
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._timeout = timeout
        self._retry = retry
        self._queue: deque[_Event] = deque()
        self._bytes = 0
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fixed = "".join(
            f"{name}: {value}\r\n"
            for name, value in (
                ("Host", f"{self.host}:{self.port}"),
                ("Content-Type", "application/json"),
                ("Ce-Specversion", "1.0"),
                ("Ce-Source", source),
                ("Ce-Modelid", identity.model),
                ("Ce-Inferenceservicename", identity.deployment or identity.model),
                ("Ce-Namespace", identity.namespace),
                ("Ce-Endpoint", identity.predictor),
            )
            if value
        )
        self._reached = False
        self._sending = 0
        self._answered = 0
        self._batch = _BATCH
        self._start = f"POST {path} HTTP/1.1\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def offer(self, kind: str, request_id: str, protocol: str, body: bytes) -> None:
        """Queue an event, dropping the oldest ones if there is no room. Any thread may call."""
        if self._loop is not None and not _on(self._loop):
            self._loop.call_soon_threadsafe(self.offer, kind, request_id, protocol, body)
            return
        self._queue.append(_Event(kind, request_id, protocol, str(uuid.uuid4()), time.time(), body))
        self._bytes += len(body)
        lost = 0
        while len(self._queue) > self._limit or self._bytes > self._limit_bytes:
            self._bytes -= len(self._queue.popleft().body)
            lost += 1
        if lost:
            self._dropped(lost)
        self._idle.clear()
        self._some.set()

    async def run(self) -> None:
        """Send what is queued until cancelled."""
        self._loop = asyncio.get_running_loop()
        failures = 0
        try:
            while True:
                if not self._queue:
                    self._idle.set()
                    self._some.clear()
                    await self._some.wait()
                    continue
                batch = self._take()
                self._sending, self._answered = len(batch), 0
                await self._attempt(batch)
                answered = self._answered
                rest = batch[answered:]
                self._sending = self._answered = 0
                if not rest:
                    failures = 0
                    continue
                # They wait at the head of the queue, and keep their ids so that
                # a second delivery can be told; unless it is the first of them
                # that breaks the monitor.
                failures = 1 if answered else failures + 1
                if failures >= _ATTEMPTS and self._reached:
                    rest, failures = rest[1:], 0
                    self._dropped(1)
                self._queue.extendleft(reversed(rest))
                self._bytes += sum(len(event.body) for event in rest)
                await asyncio.sleep(self._retry)
        finally:
            self._disconnect()

    def _take(self) -> list[_Event]:
        """What goes out in one write: one event at least, and no more than a socket's buffer or so."""
        batch: list[_Event] = []
        size = 0
        while self._queue and len(batch) < self._batch and size < _WRITE:
            event = self._queue.popleft()
            self._bytes -= len(event.body)
            size += len(event.body)
            batch.append(event)
        return batch

    async def flush(self, seconds: float) -> None:
        """Wait until all is sent, at most ``seconds``; then count what is left as dropped."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        left = len(self._queue) + self._sending - self._answered
        if left:
            self._dropped(left)

    async def _attempt(self, batch: list[_Event]) -> None:
        """Send a batch; ``_answered`` counts what the monitor answered. A refusal is an answer, and a drop."""
        self._reached = False
        try:
            async with asyncio.timeout(self._timeout):
                if self._streams is None or self._streams[1].is_closing():
                    self._streams = await asyncio.open_connection(self.host, self.port, ssl=self._tls)
                self._reached = True
                await self._exchange(*self._streams, batch)
        except (OSError, TimeoutError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError):
            self._disconnect()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, batch: list[_Event]
    ) -> None:
        writer.write(b"".join(part for event in batch for part in (self._head(event), event.body)))
        await writer.drain()
        for _ in batch:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            status, length = int(head.split(b" ", 2)[1]), _content_length(head)
            if length:
                await reader.readexactly(length)
            self._answered += 1
            if not 200 <= status < 300:
                self._dropped(1)
            if length is None or b"connection: close" in head:
                # It answers once a connection: what was sent behind goes again, one at a time from now on.
                self._batch = 1
                self._disconnect()
                return

    def _head(self, event: _Event) -> bytes:
        stamp = (
            datetime.fromtimestamp(event.at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        )
        return (
            f"{self._start}{self._fixed}Ce-Id: {event.id}\r\nCe-Time: {stamp}\r\nCe-Type: {event.kind}\r\n"
            f"Ce-Requestid: {event.request_id}\r\nCe-Protocol: {event.protocol}\r\n"
            f"Content-Length: {len(event.body)}\r\n\r\n"
        ).encode("ascii")

    def _disconnect(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


def _on(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _content_length(head: bytes) -> int | None:
    """The answer's length; None if only the connection's end tells it."""
    if head.split(b" ", 2)[1] == b"204":
        return 0
    _, found, rest = head.partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else None


def _parts(url: str) -> tuple[str, int, str, bool]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii():
        raise SerinusError(
            "SRN-SCORER-004",
            f'"{url}" is not a URL to send payloads to',
            where="--payload-url",
            hint="Give http://host:port/path of the drift monitor beside the scorer, or https:// of one elsewhere.",
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.hostname, port, path, parts.scheme == "https"
