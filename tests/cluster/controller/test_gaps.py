"""What a controller meets that nobody told it of: a status it cannot read, a rollout that is gone, two at once."""

from __future__ import annotations

import asyncio
import base64
import json
import zlib
from typing import Any

import httpx
import pytest

from serving.rollout.kube.names import FINALIZER, ROLLOUT
from tests.support.apiserver import ApiServer

from .server import Replica, acting, staged
from .stage import CANDIDATE, CHAMPION, PATIENCE, Stage, rollout

pytestmark = pytest.mark.anyio

D1 = "sha256:" + "cd" * 32
LONG = [{"weight": 10, "minRequests": 10**6}]
HALF, ALL = {CHAMPION: 90, CANDIDATE: 10}, {CHAMPION: 100}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def begun(server: ApiServer, stage: Stage) -> None:
    """One that a controller has brought to its first step; that controller is stopped."""
    async with acting(server, stage):
        await stage.put(ROLLOUT, rollout(startedBy="admin", steps=LONG))
        await stage.becomes(HALF)
        await stage.until(lambda status: status.get("reason") == "CollectingRequests")


async def lose(stage: Stage, **status: Any) -> None:
    await stage.api.merge(ROLLOUT, stage.namespace, "fraud-4", {"status": status}, "status")


def newer(engine: str) -> str:
    """The same as a version to come would write it."""
    status = json.loads(zlib.decompress(base64.b64decode(engine)))
    return base64.b64encode(
        zlib.compress(json.dumps(status | {"version": 99, "mood": "good"}).encode())
    ).decode()


async def taken_back(server: ApiServer, stage: Stage, leaving: bool) -> dict[str, Any] | None:
    """A controller begins, and the champion alone is left: the last status, None if the rollout was deleted before."""
    if leaving:
        await stage.delete(ROLLOUT, "fraud-4")
    async with acting(server, stage):
        status = await stage.gone() if leaving else await stage.ended()
        await stage.becomes(ALL)
        assert [p["name"] for p in await stage.predictors()] == [CHAMPION]
    return status


# --- a status that cannot be read -------------------------------------------------


@pytest.mark.parametrize("how", ["garbage", "of a newer version"])
@pytest.mark.parametrize("leaving", [False, True])
async def test_a_status_that_cannot_be_read_gives_the_champion_everything(
    server: ApiServer, how: str, leaving: bool
) -> None:
    async with staged(server) as stage:
        await begun(server, stage)
        before = await stage.status()
        await lose(stage, engine=newer(before["engine"]) if how != "garbage" else "nonsense")
        status = await taken_back(server, stage, leaving)
        if status is not None:
            assert (status["phase"], status["step"]) == ("RolledBack", 1)
            told = [entry["reason"] for entry in status["history"]]
            assert told == ["Starting", "StepStarted", "StatusUnreadable", "RolledBack"]
            assert "back to the champion" in status["history"][2]["message"]
            assert [entry["seq"] for entry in status["history"]] == [1, 2, 3, 4]
            await stage.event("StatusUnreadable")


async def test_a_promotion_that_had_taken_place_stands(server: ApiServer) -> None:
    async with staged(server) as stage:
        async with acting(server, stage):
            await stage.put(ROLLOUT, rollout(startedBy="admin", rollbackWindow="10m"))
            await stage.phase("Promoted")
        await lose(stage, engine="nonsense")
        async with acting(server, stage):
            status = await stage.until(lambda status: status["reason"] == "StatusUnreadable")
            assert status["phase"] == "Promoted"
            assert stage.live == {CHAMPION: 0, CANDIDATE: 100}
            await stage.change(rollbackWindow="0s")
            assert (await stage.ended())["phase"] == "Promoted"
            await stage.becomes({CANDIDATE: 100})


async def test_where_not_even_the_champion_is_known_nothing_is_moved(server: ApiServer) -> None:
    async with staged(server) as stage:
        await begun(server, stage)
        await lose(stage, engine="nonsense", target=None)
        async with acting(server, stage):
            status = await stage.ended()
            assert (status["phase"], status["reason"]) == ("Failed", "StatusUnreadable")
            assert "set the predictors by hand" in status["message"]
            assert stage.live == HALF
            await stage.delete(ROLLOUT, "fraud-4")
            await stage.gone()


# --- a status that somebody emptied ------------------------------------------------


async def test_what_the_controller_knows_goes_back_into_a_status_that_was_emptied(server: ApiServer) -> None:
    async with staged(server) as stage, acting(server, stage):
        await stage.put(ROLLOUT, rollout(startedBy="admin", steps=LONG))
        await stage.becomes(HALF)
        before = await stage.until(lambda status: status.get("reason") == "CollectingRequests")
        await stage.empty()
        await stage.change(abort=True)
        status = await stage.ended()
        assert (status["phase"], status["target"]) == ("Aborted", before["target"])
        kept = len(before["history"])
        assert status["history"][:kept] == before["history"]
        assert "StatusUnreadable" not in [entry["reason"] for entry in status["history"]]
        await stage.becomes(ALL)


@pytest.mark.parametrize("leaving", [False, True])
async def test_a_canary_that_lost_its_judge_and_the_status_too_is_taken_out(
    server: ApiServer, leaving: bool
) -> None:
    async with staged(server) as stage:
        await begun(server, stage)
        await stage.empty()
        status = await taken_back(server, stage, leaving)
        if status is not None:
            assert status["phase"] == "RolledBack"
            assert [entry["reason"] for entry in status["history"]] == ["StatusUnreadable", "RolledBack"]
            assert "emptied" in status["history"][0]["message"]


async def test_an_emptied_status_undoes_no_promotion(server: ApiServer) -> None:
    async with staged(server) as stage:
        async with acting(server, stage):
            await stage.put(ROLLOUT, rollout(startedBy="admin", rollbackWindow="10m"))
            await stage.phase("Promoted")
        await stage.empty()
        async with acting(server, stage):
            status = await stage.ended()
            assert (status["phase"], status["reason"]) == ("Failed", "StatusUnreadable")
            assert "set the predictors by hand" in status["message"]
            assert stage.live == {CHAMPION: 0, CANDIDATE: 100}


async def test_a_candidate_of_the_same_name_is_its_rollouts_and_not_left_behind(server: ApiServer) -> None:
    async with staged(server) as stage:
        async with acting(server, stage):
            await stage.put(ROLLOUT, rollout(startedBy="admin", steps=LONG))
            await stage.becomes(HALF)
            await stage.until(lambda status: status.get("reason") == "CollectingRequests")
        # As if the controller had ended between its hold on another one and that one's first status.
        await stage.put(ROLLOUT, rollout("fraud-5", startedBy="admin", steps=LONG))
        held = {"metadata": {"finalizers": [FINALIZER]}}
        await stage.api.merge(ROLLOUT, stage.namespace, "fraud-5", held)
        async with acting(server, stage):
            await stage.until(lambda status: status.get("reason") == "AnotherRollout", "fraud-5")
            assert stage.live == HALF
            assert (await stage.status())["phase"] == "Progressing"


# --- one that is gone ---------------------------------------------------------------


async def vanish(stage: Stage, replica: Replica) -> None:
    """Deleted while nobody watches: the controller is not told."""
    assert replica._feed is not None
    replica._feed.cancel()
    await stage.api.merge(ROLLOUT, stage.namespace, "fraud-4", {"metadata": {"finalizers": None}})
    await stage.delete(ROLLOUT, "fraud-4")
    await stage.gone()


async def at_rest(replica: Replica) -> None:
    async with asyncio.timeout(PATIENCE):
        while replica.supervisor.active:
            await asyncio.sleep(0.03)


async def test_a_rollout_that_vanished_in_mid_rollout_leaves_the_champion_and_no_task(
    server: ApiServer,
) -> None:
    async with staged(server) as stage, acting(server, stage) as replica:
        await stage.put(ROLLOUT, rollout(startedBy="admin", steps=LONG))
        await stage.becomes(HALF)
        await vanish(stage, replica)
        await at_rest(replica)
        await stage.becomes(ALL)
        assert replica.supervisor.statuses() == []


async def test_one_that_vanished_while_it_waited_is_forgotten(server: ApiServer) -> None:
    async with staged(server) as stage, acting(server, stage) as replica:
        await stage.put(
            ROLLOUT, rollout(startedBy="admin", candidate={"bundle": {"uri": "s3://1", "digest": D1}})
        )
        await stage.until(lambda status: status.get("weight") == 10)
        await stage.put(ROLLOUT, rollout("fraud-5", startedBy="admin"))
        await stage.until(lambda status: status.get("reason") == "AnotherRollout", "fraud-5")
        assert replica._feed is not None
        replica._feed.cancel()
        await stage.delete(ROLLOUT, "fraud-5")
        async with asyncio.timeout(PATIENCE):
            while replica.supervisor.active > 1:
                await asyncio.sleep(0.03)


# --- two at once ---------------------------------------------------------------------


class Late(httpx.AsyncHTTPTransport):
    """The first write of a rollout that begins arrives late, and meanwhile the other one is let go."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(verify=False)
        self.stage = stage
        self.met = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        claims = request.method == "PATCH" and FINALIZER.encode() in request.content
        if claims and not self.met:
            self.met = True
            await self.stage.change(paused=False)
            await asyncio.sleep(0.6)  # of two that looked at the same time, each would have begun by now
        return await super().handle_async_request(request)


async def test_of_two_that_look_at_the_same_time_one_begins(server: ApiServer) -> None:
    async with staged(server) as stage:
        await stage.put(ROLLOUT, rollout(startedBy="admin", steps=LONG, paused=True))
        other = {"bundle": {"uri": "s3://5", "digest": D1}}
        await stage.put(
            ROLLOUT, rollout("fraud-5", startedBy="admin", steps=LONG, candidate=other, paused=True)
        )
        late = Late(stage)
        async with acting(server, stage, transport=late):
            await stage.until(lambda status: status.get("reason") == "PausedBySpec")
            body = {"spec": {"paused": False}}
            await stage.api.merge(ROLLOUT, stage.namespace, "fraud-5", body)
            await stage.until(lambda status: status.get("reason") == "AnotherRollout")
            assert (late.met, "engine" in await stage.status("fraud-5")) == (True, True)
            await stage.becomes({CHAMPION: 90, "p-cdcdcdcdcd": 10})
            assert "engine" not in await stage.status("fraud-4")
