"""A candidate of which nobody said who built it, on a real API server: what a policy makes of its approvals."""

from __future__ import annotations

import pytest

from serinus.access import built_in
from serinus.kube.api import Api
from serving.rollout.kube.names import APPROVAL, COMMAND, ROLLOUT, SELDON
from tests.support.apiserver import ApiServer
from tests.unit.access.policies import bank

from .server import acting, controlled, staged
from .stage import TARGET, Stage
from .test_life import grant, mine, word

pytestmark = pytest.mark.anyio

STEPS = [{"weight": 50, "minRequests": 50}, {"weight": 100, "approval": {}}]
UNSTATED = "candidate.builtBy does not say who built it"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def approve(server: ApiServer, stage: Stage) -> None:
    """As bob, with a right of his own."""
    bob = Api(server.configuration("bob"))
    await grant(stage, "bob")
    body = {"apiVersion": APPROVAL.api_version, "kind": APPROVAL.kind} | word("second", by="bob")
    await bob.create(APPROVAL, stage.namespace, body)
    await bob.close()


async def test_under_a_policy_it_does_not_begin_and_says_why(server: ApiServer) -> None:
    async with controlled(server, policy=bank()) as stage:
        before = (await stage.api.get(SELDON, stage.namespace, TARGET))["metadata"]["generation"]
        await stage.put(ROLLOUT, mine(steps=STEPS))
        status = await stage.ended()
        assert (status["phase"], status["reason"]) == ("Failed", "InvalidSpec")
        assert "candidate.builtBy is missing, and an access policy is in force" in status["message"]
        assert "--built-by NAME" in (await stage.event("InvalidSpec"))["note"]
        assert (await stage.api.get(SELDON, stage.namespace, TARGET))["metadata"]["generation"] == before


async def test_without_one_it_is_approved_and_said_wherever_approvals_are(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await stage.put(ROLLOUT, mine(steps=STEPS))
        status = await stage.phase("AwaitingApproval")
        assert UNSTATED in status["message"]
        assert UNSTATED in (await stage.event("ApprovalNeeded"))["note"]
        await approve(server, stage)
        status = await stage.ended()
        assert status["phase"] == "Promoted"
        assert any(
            "approved by bob" in entry["message"] and UNSTATED in entry["message"]
            for entry in status["history"]
        )


async def test_one_that_began_before_the_policy_keeps_its_judge_and_waits(server: ApiServer) -> None:
    async with staged(server) as stage:
        async with acting(server, stage, policy=built_in()):
            await stage.put(ROLLOUT, mine(steps=STEPS))
            await stage.phase("AwaitingApproval")
        async with acting(server, stage, policy=bank()):
            await approve(server, stage)
            assert "SRN-APPROVAL-003" in (await stage.event("ApprovalRefused"))["note"]
            status = await stage.until(lambda status: "nobody's approval counts" in status["message"])
            assert status["phase"] == "AwaitingApproval"
            await stage.put(COMMAND, word("stop", command="abort", reason="nobody can approve it"))
            assert (await stage.ended())["phase"] == "Aborted"
