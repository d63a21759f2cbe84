"""The receiver's HTTP face."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serinus import http
from serinus import metrics as names
from serinus.alerts import read_webhook
from serinus.errors import SerinusError
from serving.retrain.service import OUTCOMES, Receiver

MAX_BODY = 4 << 20


class _Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str
    by: str


class RetrainCollector:
    """The receiver's counters; every outcome stands from the start, so that a first increase is seen."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics of one moment."""
        requests = CounterMetricFamily(
            names.RETRAIN_REQUESTS, "Alerts received and runs ended, by outcome.", labels=("outcome",)
        )
        for outcome in OUTCOMES:
            requests.add_metric((outcome,), self._receiver.counts[outcome])
        running = GaugeMetricFamily(names.RETRAIN_RUNNING, "Runs under way.")
        running.add_metric((), sum(run.outcome == "running" for run in self._receiver.ledger().runs))
        yield requests
        yield running


def build_app(receiver: Receiver) -> Starlette:
    """The ASGI application over a receiver."""
    registry = CollectorRegistry()
    registry.register(RetrainCollector(receiver))  # pyright: ignore[reportArgumentType]

    async def alerts(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return http.json({"code": "SRN-RETRAIN-001", "what": f"the body exceeds {MAX_BODY} bytes"}, 413)
        try:
            webhook = read_webhook(body)
        except SerinusError as error:
            return http.json(error.to_dict(), 400)
        try:
            answers = await run_in_threadpool(receiver.receive, webhook)
        except SerinusError as error:
            # What cannot be recorded is not done; 503 makes Alertmanager try again.
            return http.json(error.to_dict(), 503)
        return http.json({"alerts": answers})

    async def release(request: Request) -> Response:
        try:
            wanted = msgspec.json.decode(await request.body(), type=_Release)
        except msgspec.DecodeError as error:
            return http.json({"code": "SRN-RETRAIN-001", "what": str(error)}, 400)
        try:
            await run_in_threadpool(receiver.release, wanted.model, wanted.by)
        except SerinusError as error:
            return http.json(error.to_dict(), 403 if error.code == "SRN-ACCESS-005" else 503)
        return http.json({"released": wanted.model})

    async def status(request: Request) -> Response:
        ledger = receiver.ledger()
        return http.json(
            {
                "runs": ledger.runs,
                "running": [run.id for run in ledger.runs if run.outcome == "running"],
                "handled": len(ledger.handled),
                "released": ledger.released,
                "outcomes": {outcome: receiver.counts[outcome] for outcome in OUTCOMES},
            }
        )

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def healthy(request: Request) -> Response:
        return http.json({"ready": True})

    return Starlette(
        routes=[
            Route("/api/v1/alerts", alerts, methods=["POST"]),
            Route("/api/v1/release", release, methods=["POST"]),
            Route("/status", status),
            Route("/metrics", metrics),
            Route("/prometheus", metrics),
            Route("/health/ready", healthy),
            Route("/health/live", healthy),
        ]
    )


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)
