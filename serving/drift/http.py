"""The monitor's HTTP face: takes events in, shows state, never computes."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping

import msgspec
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serinus.errors import SerinusError
from serving.drift.exposition import DriftCollector
from serving.drift.monitor import UNLISTED, Monitor
from serving.drift.payload import PayloadError, read_envelope

MAX_BODY = 8 << 20
_ACCEPTED = {"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]}


def build_app(monitor: Monitor) -> ASGIApp:
    """The ASGI application over a started monitor."""
    registry = CollectorRegistry()
    registry.register(DriftCollector(monitor))  # pyright: ignore[reportArgumentType]

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def ready(request: Request) -> Response:
        return _json({"ready": monitor.alive}, status=200 if monitor.alive else 503)

    async def live(request: Request) -> Response:
        return _json({"live": True})

    async def status(request: Request) -> Response:
        return _json(describe(monitor))

    pages = Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/prometheus", metrics),
            Route("/health/ready", ready),
            Route("/health/live", live),
            Route("/status", status),
        ]
    )

    async def entrance(scope: Scope, receive: Receive, send: Send) -> None:
        # Payloads come by the hundred a second: they do not pass the router.
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == "/":
            await _take_in(monitor, scope, receive, send)
        else:
            await pages(scope, receive, send)

    return entrance


async def _take_in(monitor: Monitor, scope: Scope, receive: Receive, send: Send) -> None:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    try:
        envelope = read_envelope(headers)
    except PayloadError as error:
        monitor.count(UNLISTED, "malformed")
        await _json({"code": "SRN-DRIFT-002", "what": str(error)}, status=400)(scope, receive, send)
        return
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            monitor.count(envelope.predictor, "dropped")
            answer = {"code": "SRN-DRIFT-003", "what": f"the payload exceeds {MAX_BODY} bytes"}
            await _json(answer, status=413)(scope, receive, send)
            return
    # 202 also for what is dropped: Seldon's logger would not send it again, and the drop is counted.
    monitor.submit(envelope, bytes(body))
    await send(_ACCEPTED)
    await send({"type": "http.response.body", "body": b""})


def describe(monitor: Monitor) -> dict[str, object]:
    """The latest verdict of each predictor with its numbers, and the thresholds in force."""
    state = monitor.snapshot()
    return {
        "model": monitor.settings.model,
        "digest": monitor.settings.digest,
        "window": monitor.settings.window,
        "policy": monitor.policy,
        "tests_per_window": monitor.yardstick.tests,
        "predictors": {
            predictor: {
                "evaluated": evaluation.time,
                "seconds": evaluation.seconds,
                "feature_status": evaluation.verdict.feature_status,
                "drifted": evaluation.verdict.drifted,
                "score_status": evaluation.verdict.score.status,
                "retrain": evaluation.verdict.calls_for_retraining,
                "verdict": evaluation.verdict,
            }
            for predictor, evaluation in state.evaluations.items()
        },
        "filling": state.filling,
        "rows": dict(state.rows),
        "payloads": {f"{predictor}/{outcome}": n for (predictor, outcome), n in state.payloads.items()},
        "windows": {f"{predictor}/{kind}": n for (predictor, kind), n in state.events.items()},
    }


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 lets the kernel choose.

    Raises:
        SerinusError: ``SRN-DRIFT-001`` the address cannot be had.
    """
    try:
        return socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise SerinusError(
            "SRN-DRIFT-001",
            f"cannot listen here ({error.strerror or error})",
            where=f"{host}:{port}",
            hint="Choose another --port; 0 lets the kernel choose one, and the ready line names it.",
        ) from error


def serve(app: ASGIApp, listener: socket.socket, extra: Mapping[str, object]) -> None:
    """Serve until SIGTERM or SIGINT. The ready line goes to stdout once the port answers."""
    # Longer than a poster may be idle: whoever pools connections should be the one to close them.
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_keep_alive=75, timeout_graceful_shutdown=5
    )
    # Connections are queued by the kernel from here on, so the line may be written before the loop runs.
    line = msgspec.json.encode({"ready": True, "port": listener.getsockname()[1], **extra}).decode()
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[listener])


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")
