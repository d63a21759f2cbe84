"""Payload CloudEvents to the drift monitor, as Seldon's executor logs them.

Binary mode, one POST an event over one kept-alive connection. The queue is
bounded in events and bytes; when it is full the oldest event goes, because a
drift monitor wants the present, and the loss is counted. Serving never waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import urlsplit

from serinus.errors import SerinusError
from serving.scorer.identity import Identity

REQUEST = "io.seldon.serving.inference.request"
RESPONSE = "io.seldon.serving.inference.response"
FEEDBACK = "io.seldon.serving.feedback"
_ATTEMPTS = 3


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
        url: ``http://host[:port]/path`` of the monitor.
        source: the CloudEvents source: this scorer's own URL.
        dropped: told how many events were lost, each time.
        limit: events that may wait.
        limit_bytes: bytes of bodies that may wait.
        timeout: seconds for one connection or one answer.
        retry: seconds before the next attempt at a monitor that does not answer.

    Raises:
        SerinusError: ``SRN-SCORER-004`` if the URL is not plain HTTP.
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
        self.host, self.port, path = _parts(url)
        self._dropped = dropped
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._timeout = timeout
        self._retry = retry
        self._queue: deque[tuple[str, str, str, str, float, bytes]] = deque()
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
        self._start = f"POST {path} HTTP/1.1\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def offer(self, kind: str, request_id: str, protocol: str, body: bytes) -> None:
        """Queue an event, dropping the oldest ones if there is no room. Any thread may call."""
        if self._loop is not None and not _on(self._loop):
            self._loop.call_soon_threadsafe(self.offer, kind, request_id, protocol, body)
            return
        self._queue.append((kind, request_id, protocol, str(uuid.uuid4()), time.time(), body))
        self._bytes += len(body)
        lost = 0
        while len(self._queue) > self._limit or self._bytes > self._limit_bytes:
            self._bytes -= len(self._queue.popleft()[5])
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
                event = self._queue.popleft()
                self._bytes -= len(event[5])
                if await self._attempt(event):
                    failures = 0
                    continue
                failures += 1
                # Waits at the head of the queue (its id stays, so a second
                # delivery can be told) unless it is the event itself that
                # breaks the monitor.
                if failures < _ATTEMPTS or not self._reached:
                    self._queue.appendleft(event)
                    self._bytes += len(event[5])
                else:
                    failures = 0
                    self._dropped(1)
                await asyncio.sleep(self._retry)
        finally:
            self._disconnect()

    async def flush(self, seconds: float) -> None:
        """Wait until all is sent, at most ``seconds``; then count what is left as dropped."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        if self._queue:
            self._dropped(len(self._queue))

    async def _attempt(self, event: tuple[str, str, str, str, float, bytes]) -> bool:
        """Whether the monitor answered; a refusal is an answer, and a drop."""
        self._reached = False
        try:
            async with asyncio.timeout(self._timeout):
                if self._streams is None or self._streams[1].is_closing():
                    self._streams = await asyncio.open_connection(self.host, self.port)
                self._reached = True
                status = await self._exchange(*self._streams, self._head(event) + event[5])
        except (OSError, TimeoutError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError):
            self._disconnect()
            return False
        if not 200 <= status < 300:
            self._dropped(1)
        return True

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes
    ) -> int:
        writer.write(message)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = _content_length(head)
        if length is None or b"connection: close" in head:
            self._disconnect()
        elif length:
            await reader.readexactly(length)
        return int(head.split(b" ", 2)[1])

    def _head(self, event: tuple[str, str, str, str, float, bytes]) -> bytes:
        kind, request_id, protocol, event_id, at, body = event
        stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return (
            f"{self._start}{self._fixed}Ce-Id: {event_id}\r\nCe-Time: {stamp}\r\nCe-Type: {kind}\r\n"
            f"Ce-Requestid: {request_id}\r\nCe-Protocol: {protocol}\r\nContent-Length: {len(body)}\r\n\r\n"
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


def _parts(url: str) -> tuple[str, int, str]:
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "http" or not parts.hostname or not url.isascii():
        raise SerinusError(
            "SRN-SCORER-004",
            f'"{url}" is not a URL to send payloads to',
            where="--payload-url",
            hint="Give http://host:port/path of the drift monitor; it runs beside the scorer, without TLS.",
        )
    return parts.hostname, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
