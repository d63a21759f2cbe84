"""The platform's own page for Prometheus: rollouts, the audit log, what is to be reviewed; on a port of loopback."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from serinus.audit import AuditLog
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry.exposition import AuditCollector, OverrideCollector, ReviewCollector
from serving.rollout.exposition import RESULTS, RolloutCollector
from serving.rollout.status import RolloutStatus, decode


class Page:
    """Serves ``GET /metrics``. ``start`` it in the platform's loop.

    Args:
        home: whose rollouts and audit log are shown.
        verify_every: seconds between two verifications of the audit log.
    """

    def __init__(self, home: Home, verify_every: float = 300.0) -> None:
        self._home = home
        self._audit = AuditCollector()
        self._verify_every = verify_every
        self._registry = CollectorRegistry()
        self._registry.register(RolloutCollector(self._latest, self._ended))  # pyright: ignore[reportArgumentType]
        self._registry.register(OverrideCollector(home))  # pyright: ignore[reportArgumentType]
        self._registry.register(self._audit)  # pyright: ignore[reportArgumentType]
        self._registry.register(ReviewCollector(home))  # pyright: ignore[reportArgumentType]
        self._read: dict[Path, tuple[int, RolloutStatus]] = {}
        self._server: asyncio.Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """``host:port`` of the page."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def start(self) -> None:
        """Listen on a free port of loopback, and verify the audit log now and then."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 16)
        self._task = asyncio.create_task(self._verify())

    async def stop(self) -> None:
        """Close the port."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._server is not None:
            self._server.close()

    async def _verify(self) -> None:
        while True:
            await asyncio.to_thread(self._audit.verify, AuditLog(self._home.audit), time.time())
            await asyncio.sleep(self._verify_every)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError
        ):
            async with asyncio.timeout(5.0):
                head = await reader.readuntil(b"\r\n\r\n")
                parts = head.split(b" ", 2)
                found = parts[0] == b"GET" and parts[1] in (b"/metrics", b"/prometheus")
                # Reading the statuses and their evidence takes milliseconds; the engine goes on meanwhile.
                body = (
                    await asyncio.to_thread(generate_latest, self._registry) if found else b"see /metrics\n"
                )
                status = b"200 OK" if found else b"404 Not Found"
                kind = CONTENT_TYPE_LATEST.encode() if found else b"text/plain"
                writer.write(
                    b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                    % (status, kind, len(body), body)
                )
                await writer.drain()
        writer.close()

    def _statuses(self) -> list[RolloutStatus]:
        """All rollouts of this installation; a file that has not changed is not read again."""
        found: dict[Path, tuple[int, RolloutStatus]] = {}
        for path in (self._home.platform / "rollouts").glob("*/status.json"):
            with contextlib.suppress(OSError, SerinusError):
                changed = path.stat().st_mtime_ns
                known = self._read.get(path)
                found[path] = known if known and known[0] == changed else (changed, decode(path.read_bytes()))
        self._read = found
        return [status for _, status in found.values()]

    def _latest(self) -> list[RolloutStatus]:
        latest: dict[str, RolloutStatus] = {}
        for status in self._statuses():
            known = latest.get(status.model)
            if known is None or status.started_at >= known.started_at:
                latest[status.model] = status
        return list(latest.values())

    def _ended(self) -> Counter[tuple[str, str]]:
        return Counter(
            (status.model, RESULTS[status.phase]) for status in self._statuses() if status.phase in RESULTS
        )
