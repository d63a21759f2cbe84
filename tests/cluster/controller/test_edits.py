"""Other hands on the SeldonDeployment in mid-rollout: each case ends safe, and is said plainly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from serving.rollout.kube.names import FIELD_MANAGER, ROLLOUT, SELDON
from tests.support.apiserver import ApiServer

from .server import acting, controlled, staged
from .stage import CANDIDATE, CHAMPION, PATIENCE, TARGET, Stage, predictor, rollout

pytestmark = pytest.mark.anyio

LONG = [{"weight": 10, "minRequests": 10**6}]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def at_ten(stage: Stage, **spec: Any) -> None:
    """A rollout in its first step, in place."""
    await stage.put(ROLLOUT, rollout(startedBy="admin", steps=LONG, **spec))
    await stage.becomes({CHAMPION: 90, CANDIDATE: 10})
    await stage.until(lambda status: status.get("reason") == "CollectingRequests")


def said(status: dict[str, Any]) -> list[str]:
    return [entry["reason"] for entry in status["history"]]


async def test_a_deleted_target_ends_the_rollout(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await at_ten(stage)
        await stage.delete(SELDON, TARGET)
        status = await stage.ended()
        assert (status["phase"], status["reason"]) == ("Failed", "TargetGone")
        assert "SeldonDeployment fraud was deleted: nothing is left to move" in status["message"]


async def test_a_target_made_anew_is_another_one(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await at_ten(stage)
        await stage.delete(SELDON, TARGET)
        await stage.deploy(predictor())
        assert (await stage.ended())["reason"] == "TargetGone"
        assert [p["name"] for p in await stage.predictors()] == [CHAMPION]


async def test_a_candidate_taken_out_by_hand_leaves_the_champion(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await at_ten(stage)
        await stage.edit([predictor()])
        status = await stage.ended()
        assert (status["phase"], "CandidateGone" in said(status)) == ("RolledBack", True)
        await stage.becomes({CHAMPION: 100})


async def test_weights_changed_by_hand_are_set_back_and_told(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await at_ten(stage)
        edited = await stage.predictors()
        edited[0]["traffic"], edited[1]["traffic"] = 20, 80
        await stage.edit(edited)
        status = await stage.until(lambda status: "RoutesChanged" in said(status))
        entry = next(e for e in status["history"] if e["reason"] == "RoutesChanged")
        assert f"predictor {CHAMPION} has traffic 20, not 90" in entry["message"]
        await stage.becomes({CHAMPION: 90, CANDIDATE: 10})
        assert (await stage.status())["phase"] == "Progressing"


async def test_a_champion_taken_out_by_hand_comes_back(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await at_ten(stage)
        candidate = (await stage.predictors())[1]
        await stage.edit([candidate])
        await stage.becomes({CHAMPION: 90, CANDIDATE: 10})
        await stage.change(abort=True)
        await stage.ended()
        await stage.becomes({CHAMPION: 100})
        (back,) = await stage.predictors()
        assert back["componentSpecs"] == predictor()["componentSpecs"]


@pytest.mark.parametrize("ready", [True, False])
async def test_a_stranger_gets_nothing_and_holds_nothing_up(server: ApiServer, ready: bool) -> None:
    async with controlled(server) as stage:
        await at_ten(stage)
        if not ready:
            stage.unready.add("stranger")
        await stage.edit([*(await stage.predictors()), predictor("stranger", 30)])
        await stage.until(lambda status: "RoutesChanged" in said(status))
        await stage.change(abort=True)
        await stage.ended()
        async with asyncio.timeout(PATIENCE):
            while stage.live.get(CHAMPION) != 100 or stage.live.get("stranger", 0) or CANDIDATE in stage.live:
                await asyncio.sleep(0.03)


async def test_a_tool_that_keeps_setting_its_own_weights_ends_the_rollout(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await at_ten(stage)

        async def insist() -> None:
            while True:
                found = await stage.predictors()
                if [p["traffic"] for p in found] == [90, 10] and stage.live.get(CANDIDATE) == 10:
                    status = await stage.status()
                    if status.get("reason") == "CollectingRequests":
                        found[0]["traffic"], found[1]["traffic"] = 100, 0
                        await stage.edit(found)
                await asyncio.sleep(0.1)

        tool = asyncio.create_task(insist())
        status = await stage.ended()
        tool.cancel()
        assert (status["phase"], "RoutesContested" in said(status)) == ("RolledBack", True)
        await stage.becomes({CHAMPION: 100})


class Meddler(httpx.AsyncHTTPTransport):
    """Between our reading of the SeldonDeployment and our writing of it, someone else writes it."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(verify=False)
        self.stage = stage
        self.conflicts = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        ours = request.method == "PATCH" and "seldondeployments" in request.url.path
        if ours and self.conflicts < 3:
            meddled = {"metadata": {"annotations": {"team": f"risk-{self.conflicts}"}}}
            await self.stage.api.merge(SELDON, self.stage.namespace, TARGET, meddled)
        answer = await super().handle_async_request(request)
        if ours and answer.status_code == 409:
            self.conflicts += 1
        return answer


async def test_an_edit_in_between_is_never_lost(server: ApiServer) -> None:
    async with staged(server) as stage:
        meddler = Meddler(stage)
        async with acting(server, stage, transport=meddler):
            await stage.put(ROLLOUT, rollout(startedBy="admin"))
            assert (await stage.ended())["phase"] == "Promoted"
        found = await stage.api.get(SELDON, stage.namespace, TARGET)
        assert (meddler.conflicts, found["metadata"]["annotations"]["team"]) == (3, "risk-2")


class Hand(httpx.AsyncHTTPTransport):
    """Someone edits the SeldonDeployment in the instant in which we write a split: just before it, or just after."""

    def __init__(self, stage: Stage, split: list[int], edit: list[Any], *, first: bool) -> None:
        super().__init__(verify=False)
        self.stage, self.split, self.edit, self.first = stage, split, edit, first
        self.done = False
        self.answers: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        ours = request.method == "PATCH" and "seldondeployments" in request.url.path
        written = json.loads(request.content)["spec"]["predictors"] if ours else []
        meant = [p["traffic"] for p in written] == self.split and not self.done
        if meant and self.first:
            await self._edit()
        answer = await super().handle_async_request(request)
        if ours:
            self.answers.append(answer.status_code)
        if meant and not self.first:
            await self.stage.becomes(dict(zip((CHAMPION, CANDIDATE), self.split, strict=True)))
            await self._edit()
        return answer

    async def _edit(self) -> None:
        self.done = True
        found = await self.stage.predictors()
        for one, changes in zip(found, self.edit, strict=True):
            one.update(changes)
        await self.stage.edit(found)


@asynccontextmanager
async def edited_in_the_instant(
    server: ApiServer, split: list[int], edit: list[Any], *, first: bool
) -> AsyncGenerator[tuple[Stage, Hand]]:
    """A rollout that meets such a hand."""
    async with staged(server) as stage:
        hand = Hand(stage, split, edit, first=first)
        async with acting(server, stage, transport=hand):
            await stage.put(ROLLOUT, rollout(startedBy="admin", steps=LONG))
            yield stage, hand


SWAPPED = [{"traffic": 20}, {"traffic": 80}]


@pytest.mark.parametrize("first", [True, False], ids=["before our write", "after it"])
async def test_weights_changed_in_the_instant_of_our_own_write_are_told_and_set_back(
    server: ApiServer, first: bool
) -> None:
    async with edited_in_the_instant(server, [90, 10], SWAPPED, first=first) as (stage, hand):
        # Of a change right after our write the watch may tell when the routes were read back already.
        status = await stage.until(
            lambda status: status.get("reason") == "CollectingRequests" and "RoutesChanged" in said(status)
        )
        assert said(status) == ["Starting", "StepStarted", "RoutesChanged"]
        assert f"predictor {CHAMPION} has traffic 20, not 90" in status["history"][-1]["message"]
        assert (409 in hand.answers) == first  # it was found by the conflict, or by who wrote last
        await stage.event("RoutesChanged")
        await stage.becomes({CHAMPION: 90, CANDIDATE: 10})
        counted = status["requests"]
        await stage.until(lambda status: status["requests"] > counted + 100)
        assert said(await stage.status()).count("RoutesChanged") == 1


async def test_what_else_is_changed_in_that_instant_is_kept_and_not_told(server: ApiServer) -> None:
    other = [{"replicas": 3}, {}]
    async with edited_in_the_instant(server, [90, 10], other, first=True) as (stage, hand):
        status = await stage.until(lambda status: status.get("reason") == "CollectingRequests")
        assert (said(status), 409 in hand.answers) == (["Starting", "StepStarted"], True)
        assert (await stage.predictors())[0]["replicas"] == 3


async def test_a_rollback_waits_for_nobodys_hand(server: ApiServer) -> None:
    async with edited_in_the_instant(server, [100, 0], SWAPPED, first=True) as (stage, hand):
        await stage.until(lambda status: status.get("reason") == "CollectingRequests")
        hand.done = False  # the split of its beginning was no rollback
        await stage.change(abort=True)
        assert (await stage.ended())["phase"] == "Aborted"
        assert hand.done
        await stage.becomes({CHAMPION: 100})


async def test_only_the_predictors_are_ours(server: ApiServer) -> None:
    """What GitOps tools and autoscalers set stays theirs."""
    async with controlled(server) as stage:
        metadata = {"name": TARGET, "labels": {"owner": "risk"}}
        body: dict[str, Any] = {"apiVersion": SELDON.api_version, "kind": SELDON.kind, "metadata": metadata}
        path = SELDON.path(stage.namespace, TARGET)
        await stage.api._call(
            "PATCH", path, body=body | {"spec": {"protocol": "v2"}},
            content="application/apply-patch+yaml", params={"fieldManager": "argocd", "force": "true"},
        )  # fmt: skip
        await at_ten(stage)
        await stage.api._call(
            "PATCH", path, body={"spec": {"replicas": 3}},
            content="application/merge-patch+json", params={"fieldManager": "autoscaler"},
        )  # fmt: skip
        await stage.change(abort=True)
        await stage.ended()
        found = await stage.api.get(SELDON, stage.namespace, TARGET)
        assert (found["spec"]["replicas"], found["spec"]["protocol"]) == (3, "v2")
        applied = {
            entry["manager"]: entry["fieldsV1"]
            for entry in found["metadata"]["managedFields"]
            if entry["operation"] == "Apply"
        }
        assert applied[FIELD_MANAGER] == {"f:spec": {"f:predictors": {}}}
        assert applied["argocd"]["f:spec"] == {"f:protocol": {}}
