"""The platform's own page for Prometheus: rollouts, the audit log, what is to be reviewed; on a port of loopback."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from serinus import metrics as names
from serinus.access import Access
from serinus.audit import AuditLog
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry
from serinus.registry.review_book import ReviewBook
from serinus.registry.reviews import load_policy, moment
from serving.rollout.exposition import RESULTS, RolloutCollector, overrides
from serving.rollout.status import RolloutStatus, decode

log = logging.getLogger("serinus.platform")


class AuditCollector:
    """What the last verification of the audit log said; nothing before the first."""

    def __init__(self) -> None:
        self.entries: int | None = None
        self.broken: bool | None = None
        self.at = 0.0

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics of one moment."""
        if self.broken is None:
            return
        broken = GaugeMetricFamily(names.AUDIT_BROKEN, "The audit log's chain is broken.")
        broken.add_metric((), float(self.broken))
        yield broken
        verified = GaugeMetricFamily(names.AUDIT_VERIFIED, "When the audit log was last verified.")
        verified.add_metric((), self.at)
        yield verified
        if self.entries is not None:
            entries = GaugeMetricFamily(names.AUDIT_ENTRIES, "Entries that verified.")
            entries.add_metric((), self.entries)
            yield entries

    def verify(self, audit: AuditLog, now: float) -> None:
        """Verify the whole log; a broken chain is a finding, not an error."""
        try:
            self.entries, _ = audit.verify()
            self.broken = False
        except SerinusError as error:
            log.error("%s", error)
            self.broken = True
        self.at = now


class ReviewCollector:
    """Until when each version in use is to be reviewed. Nothing where the registry or the policy cannot be read."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """One gauge with a series for each version in use."""
        try:
            found = ReviewBook(Registry(self._home), load_policy(self._home)).due()
        except SerinusError as error:
            log.error("%s", error)
            return
        due = GaugeMetricFamily(
            names.REVIEW_DUE, "Until when a version is to be reviewed.", labels=("model", "version")
        )
        for item in found:
            due.add_metric((item.model, str(item.version)), moment(item.due).timestamp())
        yield due


class OverrideCollector:
    """Approvals that stood for all that were missing, as the installation's book has them."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """A counter and the time of the last, for each model that had one."""
        try:
            found = Access(self._home).book.overrides()
        except SerinusError as error:
            log.error("%s", error)
            return
        yield from overrides((given.model, given.at) for given in found)


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
