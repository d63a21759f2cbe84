"""The monitor's HTTP face: takes events in, shows state, never computes."""

from __future__ import annotations

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serinus import http
from serving.drift.exposition import DriftCollector
from serving.drift.forward import Counts
from serving.drift.intake import Intake
from serving.drift.monitor import Monitor
from serving.drift.payload import Envelope, PayloadError, read_envelope
from serving.drift.report import COUNTS_TYPE, UNLISTED

MAX_BODY = 8 << 20
_JUDGES_NONE = "this program forwards its own counts and judges none"
_ACCEPTED = {"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]}


def build_app(monitor: Intake) -> ASGIApp:
    """The ASGI application over a started monitor or replica."""
    registry = CollectorRegistry()
    registry.register(DriftCollector(monitor))  # pyright: ignore[reportArgumentType]

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def ready(request: Request) -> Response:
        return http.json({"ready": monitor.alive}, status=200 if monitor.alive else 503)

    async def live(request: Request) -> Response:
        # Without its worker the program takes payloads in and judges none.
        return http.json({"live": monitor.alive}, status=200 if monitor.alive else 503)

    async def status(request: Request) -> Response:
        return http.json(describe(monitor))

    async def measure(request: Request) -> Response:
        if not isinstance(monitor, Monitor):
            return http.json({"code": "SRN-DRIFT-006", "what": _JUDGES_NONE}, status=409)
        return Response(monitor.measure.encode(), media_type="application/json")

    async def counts(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                answer = {"code": "SRN-DRIFT-003", "what": f"the counts exceed {MAX_BODY} bytes"}
                return http.json(answer, status=413)
        try:
            found = msgspec.json.decode(body, type=Counts)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return http.json({"code": "SRN-DRIFT-005", "what": f"these are no counts: {error}"}, status=400)
        wrong = monitor.objects_to(found) if isinstance(monitor, Monitor) else _JUDGES_NONE
        if wrong:
            return http.json({"code": "SRN-DRIFT-006", "what": wrong}, status=409)
        if not monitor.submit(Envelope(COUNTS_TYPE, found.predictor, found.replica), bytes(body)):
            return http.json({"code": "SRN-DRIFT-007", "what": "no room now; send them again"}, status=503)
        return Response(status_code=202)

    pages = Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/prometheus", metrics),
            Route("/health/ready", ready),
            Route("/health/live", live),
            Route("/status", status),
            Route("/measure", measure),
            Route("/counts", counts, methods=["POST"]),
        ]
    )

    async def entrance(scope: Scope, receive: Receive, send: Send) -> None:
        # Payloads come by the hundred a second: they do not pass the router.
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == "/":
            await _take_in(monitor, scope, receive, send)
        else:
            await pages(scope, receive, send)

    return entrance


async def _take_in(monitor: Intake, scope: Scope, receive: Receive, send: Send) -> None:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    try:
        envelope = read_envelope(headers)
    except PayloadError as error:
        monitor.count(UNLISTED, "malformed")
        await http.json({"code": "SRN-DRIFT-002", "what": str(error)}, status=400)(scope, receive, send)
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
            await http.json(answer, status=413)(scope, receive, send)
            return
    # 202 also for what is dropped: Seldon's logger would not send it again, and the drop is counted.
    monitor.submit(envelope, bytes(body))
    await send(_ACCEPTED)
    await send({"type": "http.response.body", "body": b""})


def describe(monitor: Intake) -> dict[str, object]:
    """The latest verdict of each predictor with its numbers, and the thresholds in force."""
    state = monitor.snapshot()
    return {
        "model": monitor.settings.model,
        "digest": monitor.settings.digest,
        "counts_by": monitor.measure.digest,
        "champion": state.primary,
        "window": monitor.settings.window,
        "policy": monitor.policy,
        "tests_per_window": monitor.yardstick.tests if isinstance(monitor, Monitor) else 0,
        "predictors": {
            predictor: {
                "evaluated": evaluation.time,
                "seconds": evaluation.seconds,
                "feature_status": evaluation.verdict.feature_status,
                "drifted": evaluation.verdict.drifted,
                "score_status": evaluation.verdict.score.status,
                "retrain": evaluation.verdict.calls_for_retraining,
                "verdict": evaluation.verdict,
                "estimated": state.estimated.get(predictor),
                "against_champion": state.pairs.get(predictor),
                "opinions": state.opinions.get(predictor, ()),
                "online": state.online.get(predictor, ()),
            }
            for predictor, evaluation in state.evaluations.items()
        },
        "filling": state.filling,
        "rows": dict(state.rows),
        "payloads": {f"{predictor}/{outcome}": n for (predictor, outcome), n in state.payloads.items()},
        "windows": {f"{predictor}/{kind}": n for (predictor, kind), n in state.events.items()},
    }
