"""The listener: health, limits, deadlines, draining, and its messages beside other people's."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import grpc.aio
import pytest

from serinus.errors import SerinusError
from serving.scorer.grpc import messages as pb
from serving.scorer.grpc.server import GrpcServer
from serving.scorer.service import Reply
from tests.unit.scorer.support import GOOD, Rig, rig
from tests.unit.scorer_grpc.support import ask, call, columns, infer, listening, predict, seldon_rows

HEALTH = "/grpc.health.v1.Health/Check"
SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3


def full() -> Rig:
    """A scorer whose log takes no more."""
    made = rig(limit=1)
    predict(made, seldon_rows(GOOD))
    return made


def check(made: Rig, service: str = "") -> Any:
    return call(made, HEALTH, pb.HealthCheckRequest(service=service), pb.HealthCheckResponse)


@pytest.mark.parametrize("service", ["", "inference.GRPCInferenceService", "seldon.protos.Model"])
def test_health_is_readiness(service: str) -> None:
    assert check(rig(), service).message.status == SERVING
    assert check(full(), service).message.status == NOT_SERVING


def test_the_health_of_a_service_that_is_not_here_is_not_found() -> None:
    assert check(rig(), "other").code is grpc.StatusCode.NOT_FOUND


def test_readiness_is_what_http_says_and_liveness_stays() -> None:
    for made, ready in ((rig(), True), (full(), False)):
        service = "/inference.GRPCInferenceService"
        assert made.call("GET", "/ready").status == (200 if ready else 503)
        assert call(made, f"{service}/ServerReady", pb.Empty(), pb.ServerReadyResponse).message.ready is ready
        one = pb.ModelReadyRequest(name="small")
        assert call(made, f"{service}/ModelReady", one, pb.ModelReadyResponse).message.ready is ready
        assert call(made, f"{service}/ServerLive", pb.Empty(), pb.ServerLiveResponse).message.live is True


def test_a_watcher_is_told_at_once_that_the_scorer_drains() -> None:
    made = rig()

    async def work(channel: grpc.aio.Channel, server: GrpcServer) -> list[int]:
        seen: list[int] = []
        request = pb.HealthCheckRequest().SerializeToString()
        async for raw in channel.unary_stream("/grpc.health.v1.Health/Watch")(request, timeout=60):
            seen.append(pb.HealthCheckResponse.FromString(raw).status)
            if len(seen) == 2:
                break
            made.app.draining = True
            server.draining()
        return seen

    assert asyncio.run(listening(made, work)) == [SERVING, NOT_SERVING]


def test_a_watcher_of_an_unknown_service_is_told_so_and_kept() -> None:
    async def work(channel: grpc.aio.Channel, _: GrpcServer) -> int:
        request = pb.HealthCheckRequest(service="other").SerializeToString()
        async for raw in channel.unary_stream("/grpc.health.v1.Health/Watch")(request, timeout=60):
            return pb.HealthCheckResponse.FromString(raw).status
        return 0

    assert asyncio.run(listening(rig(), work)) == UNKNOWN


def test_a_log_that_takes_no_more_makes_the_scorer_unavailable() -> None:
    answer = predict(full(), seldon_rows(GOOD))
    assert answer.code is grpc.StatusCode.UNAVAILABLE
    assert "decisions cannot be recorded" in answer.details


def test_a_message_above_the_limit_is_resource_exhausted_and_one_below_is_answered() -> None:
    large = columns(*[GOOD] * 40)
    size = len(large.SerializeToString())
    assert infer(rig(), large, max_message=size - 1).code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert infer(rig(), large, max_message=size).code is grpc.StatusCode.OK


def test_a_fault_of_ours_is_internal_and_reported() -> None:
    made = rig()
    made.service.scorer = None  # pyright: ignore[reportAttributeAccessIssue]
    assert infer(made, columns(GOOD)).code is grpc.StatusCode.INTERNAL
    assert [error.code for error in made.reported] == ["SRN-SCORER-005"]


def test_what_the_services_do_not_have_is_unimplemented() -> None:
    for method in ("/seldon.protos.Router/Route", "/inference.GRPCInferenceService/ModelStreamInfer"):
        assert call(rig(), method, b"", pb.Empty).code is grpc.StatusCode.UNIMPLEMENTED


def test_the_clients_deadline_reaches_the_service() -> None:
    made, seen = rig(), []
    real = made.service.predict

    def spy(*args: Any, **options: Any) -> Any:
        seen.append(options["deadline"])
        return real(*args, **options)

    made.service.predict = spy
    began = time.monotonic()
    infer(made, columns(GOOD), timeout=90)
    # gRPC rounds what is left of it up to a unit of its own.
    assert began + 89 < seen[0] < time.monotonic() + 91


def test_answers_go_on_during_the_grace_and_open_calls_are_finished_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, method = rig(), "/seldon.protos.Seldon/Predict"
    inner = made.service.predict

    async def work(channel: grpc.aio.Channel, server: GrpcServer) -> tuple[grpc.StatusCode, ...]:
        entered, gate, grace = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def waiting(*args: Any, **options: Any) -> Any:
            entered.set()
            await gate.wait()
            return inner(*args, **options)

        async def one() -> grpc.StatusCode:
            return (await ask(channel, method, seldon_rows(GOOD), pb.SeldonMessage, timeout=120)).code

        async def pause(seconds: float) -> None:
            await grace.wait()

        made.service.predict = waiting  # pyright: ignore[reportAttributeAccessIssue]
        open_call = asyncio.create_task(one())
        await entered.wait()
        made.service.predict = inner
        monkeypatch.setattr("serving.scorer.grpc.server.pause", pause)
        stopping = asyncio.create_task(server.stop(5, 120))
        during = await one()
        grace.set()
        async with asyncio.timeout(60):
            while (after := await one()) is grpc.StatusCode.OK:
                pass
        assert not open_call.done()
        gate.set()
        finished = await open_call
        await stopping
        return during, finished, after

    during, finished, after = asyncio.run(listening(made, work))
    assert (during, finished) == (grpc.StatusCode.OK, grpc.StatusCode.OK)
    # CANCELLED where it came in the moment of the GOAWAY.
    assert after in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


def test_a_port_that_is_taken_is_an_error_that_says_so() -> None:
    async def work(_: grpc.aio.Channel, server: GrpcServer) -> str:
        made = rig()
        with pytest.raises(SerinusError) as caught:
            await GrpcServer.start(
                made.service, lambda: True, host="127.0.0.1", port=server.port, max_message=1000
            )
        return caught.value.code

    assert asyncio.run(listening(rig(), work)) == "SRN-SCORER-020"


def test_tritonclients_messages_of_the_same_names_live_beside_ours() -> None:
    from tritonclient.grpc import service_pb2

    theirs = service_pb2.ModelInferRequest(model_name="small", id="x")  # pyright: ignore[reportAttributeAccessIssue]
    ours = pb.ModelInferRequest.FromString(theirs.SerializeToString())
    assert (ours.model_name, ours.id) == ("small", "x")
    assert type(ours) is not type(theirs)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (429, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (503, grpc.StatusCode.UNAVAILABLE),
        (413, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (418, grpc.StatusCode.UNKNOWN),
    ],
)
def test_a_refusal_of_the_service_keeps_its_meaning_and_its_advice(
    status: int, code: grpc.StatusCode
) -> None:
    made = rig()
    made.service.predict = lambda *_, **__: Reply(status, "why", "q-1", retry_after=7)
    answer = predict(made, seldon_rows(GOOD))
    assert (answer.code, answer.details) == (code, "why")
    assert (answer.trailing["grpc-retry-pushback-ms"], answer.trailing["seldon-puid"]) == ("7000", "q-1")


def test_a_refusal_without_advice_gives_none() -> None:
    assert "grpc-retry-pushback-ms" not in predict(rig(), seldon_rows()).trailing
