"""``/healthz``, ``/readyz`` and ``/metrics`` of the record keeper."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from serinus import metrics as names
from serinus.audit import AuditLog
from serinus.home import Home
from serinus.registry.exposition import AuditCollector, OverrideCollector, ReviewCollector
from serinus.retelling import Keeper as Retelling

from .follow import Follower
from .versions import Door, VersionsCollector

log = logging.getLogger("serinus.records")


class RecordsCollector:
    """How the record keeper itself is. Every counter stands from the start, so that a first increase is seen."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics of one moment."""
        desk = self._follower.desk
        counts = desk.keeper.counts
        written = CounterMetricFamily(names.RECORDS, "Turns and words recorded.", labels=("kind",))
        for kind in ("turn", "word"):
            written.add_metric((kind,), counts[kind])
        yield written
        for name, what, value in (
            (names.RECORDS_REFUSED, "Approvals that do not count.", counts["refused"]),
            (names.RECORDS_GAPS, "Times that turns of a rollout were missed.", counts["gap"]),
            (names.RECORDS_UNKNOWN, "Rollouts of a digest that is not registered.", counts["unknown"]),
            (names.RECORDS_UNFOLLOWED, "Turns and words that the registry refused.", counts["unfollowed"]),
            (names.RECORDS_FAILURES, "Tries to record that failed.", desk.failures),
        ):
            counter = CounterMetricFamily(name, what)
            counter.add_metric((), value)
            yield counter
        # Infinite before the first listing: whoever was never let in is silent too.
        yield GaugeMetricFamily(
            names.RECORDS_WATCH_AGE, "Silence of the quietest watch.", value=self._follower.age()
        )


def build_app(
    home: Home,
    follower: Follower,
    beside: tuple[Retelling, ...] = (),
    verify_every: float = 300.0,
    door: Door | None = None,
) -> Starlette:
    """The ASGI application; it follows from its start to its end.

    Args:
        beside: what else is told of the registry while we run.
        verify_every: seconds between two verifications of the audit log.
        door: where versions come in that were registered elsewhere.
    """
    registry, audit = CollectorRegistry(), AuditCollector()
    for collector in (RecordsCollector(follower), OverrideCollector(home), audit, ReviewCollector(home)):
        registry.register(collector)  # pyright: ignore[reportArgumentType]
    if door is not None:
        registry.register(VersionsCollector(door))  # pyright: ignore[reportArgumentType]

    async def verify() -> None:
        while True:
            await asyncio.to_thread(audit.verify, AuditLog(home.audit), time.time())
            await asyncio.sleep(verify_every)

    @contextlib.asynccontextmanager
    async def running(_: Starlette) -> AsyncGenerator[None]:
        verifying = asyncio.create_task(verify())
        await follower.start()
        for one in beside:
            await one.start()
        try:
            yield
        finally:
            verifying.cancel()
            await asyncio.gather(verifying, return_exceptions=True)
            for one in beside:
                await one.stop()
            await follower.stop()

    async def healthz(request: Request) -> Response:
        return _answer(follower.alive, "ok", "a watch has ended")

    async def readyz(request: Request) -> Response:
        return _answer(follower.ready, "ok", follower.desk.failing or "not everything is listed yet")

    async def metrics(request: Request) -> Response:
        body = await run_in_threadpool(generate_latest, registry)
        return Response(body, media_type=CONTENT_TYPE_LATEST)

    routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
    return Starlette(routes=routes + ([door.route()] if door is not None else []), lifespan=running)


def _answer(good: bool, yes: str, no: str) -> Response:
    return PlainTextResponse(f"{yes if good else no}\n", status_code=200 if good else 503)
