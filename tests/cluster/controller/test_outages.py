"""What the controller needs is away for a while: nothing moves, and then it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from serving.rollout.kube.names import ROLLOUT
from tests.support.apiserver import ApiServer

from .server import USERS, controlled, running
from .stage import CANDIDATE, CHAMPION, conditions, rollout

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def own() -> Iterator[ApiServer]:
    """An API server that may be stopped."""
    with running(*USERS) as made:
        yield made


@pytest.mark.parametrize("bad", [False, True])
async def test_a_lost_api_server_moves_nothing_and_is_waited_for(own: ApiServer, bad: bool) -> None:
    async with controlled(own) as stage:
        steps = [{"weight": 10, "minRequests": 10**5}, {"weight": 50, "minRequests": 50}]
        await stage.put(ROLLOUT, rollout(startedBy="admin", steps=steps))
        await stage.until(lambda status: status.get("weight") == 10 and status.get("requests", 0) > 0)
        await asyncio.to_thread(own.halt)
        await asyncio.sleep(3)
        stage.prometheus.add(CHAMPION, 10**6)
        stage.prometheus.add(CANDIDATE, 10**5 - (4 * 10**4 if bad else 0), 4 * 10**4 if bad else 0)
        await asyncio.to_thread(own.boot)
        status = await stage.ended()
        assert status["phase"] == ("RolledBack" if bad else "Promoted"), status["message"]
        await stage.becomes({CHAMPION if bad else CANDIDATE: 100})


async def test_a_lost_prometheus_is_neither_a_pass_nor_a_fail(server: ApiServer) -> None:
    async with controlled(server) as stage:
        steps = [{"weight": 10, "minRequests": 500}, {"weight": 50}]
        limits = {"noDataTimeout": "1s"}
        stage.rate = 1.0  # so that the step is not over before Prometheus is lost
        await stage.put(ROLLOUT, rollout(startedBy="admin", limits=limits, steps=steps))
        await stage.until(lambda status: status.get("weight") == 10)
        stage.prometheus.broken = True
        stage.rate = 100.0
        status = await stage.phase("Paused")
        assert status["reason"] == "ProviderErrorTimeout"
        assert conditions(status)["DataAvailable"] == "False"
        stage.prometheus.broken = False
        assert (await stage.ended())["phase"] == "Promoted"


async def test_without_data_the_spec_may_ask_for_a_rollback(server: ApiServer) -> None:
    async with controlled(server) as stage:
        limits = {"noDataTimeout": "1s"}
        steps = [{"weight": 10, "minRequests": 10**6}]
        await stage.put(ROLLOUT, rollout(startedBy="admin", limits=limits, steps=steps, onNoData="rollback"))
        await stage.until(lambda status: status.get("weight") == 10)
        stage.rate = 0
        status = await stage.ended()
        assert status["phase"] == "RolledBack"
        assert "NoDataTimeout" in [entry["reason"] for entry in status["history"]]
        assert [p["name"] for p in await stage.predictors()] == [CHAMPION]
