"""A rollout's life on a real API server: how each story ends, and what is said of it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from serving.rollout.kube.names import APPROVAL, COMMAND, FINALIZER, ROLLOUT, SELDON
from tests.support.apiserver import ApiServer, tools

from .server import controlled
from .stage import CANDIDATE, CHAMPION, PATIENCE, TARGET, Stage, conditions, predictor, reasons, rollout

pytestmark = pytest.mark.anyio

KINDS = ["modelrollouts", "rolloutapprovals", "rolloutcommands"]
ALONE = [{CHAMPION: 100}]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def word(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"rollout": "fraud-4", "by": "admin", "reason": "seen"} | spec,
    }


def mine(**spec: Any) -> dict[str, Any]:
    return rollout(startedBy="admin", **spec)


async def only(stage: Stage, name: str) -> None:
    """One predictor serves everyone, in the SeldonDeployment and in the live routes."""
    await stage.becomes({name: 100})


async def test_a_good_candidate_becomes_the_champion(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await stage.put(ROLLOUT, mine())
        status = await stage.told()
        assert status["phase"] == "Promoted"
        assert conditions(status)["Promoted"] == conditions(status)["Ended"] == "True"
        assert stage.splits == [
            {CHAMPION: 100},
            {CHAMPION: 100, CANDIDATE: 0},
            {CHAMPION: 90, CANDIDATE: 10},
            {CHAMPION: 50, CANDIDATE: 50},
            {CHAMPION: 0, CANDIDATE: 100},
            {CANDIDATE: 100},
        ]
        await only(stage, CANDIDATE)
        (made,) = await stage.predictors()
        init = made["componentSpecs"][0]["spec"]["initContainers"][0]["env"]
        assert init[0]["value"] == "s3://models/fraud/4"
        assert made["componentSpecs"][0]["metadata"]["name"] == f"{TARGET}-{CANDIDATE}"
        told = list(reasons(await stage.events()))
        assert told == ["Starting", "StepStarted", "StepStarted", "StepsCompleted", "Promoted"]


async def test_a_candidate_that_errs_is_removed(server: ApiServer) -> None:
    async with controlled(server) as stage:
        stage.errors[CANDIDATE] = 0.3
        await stage.put(ROLLOUT, mine())
        status = await stage.ended()
        assert (status["phase"], conditions(status)["Stalled"]) == ("RolledBack", "True")
        assert (
            "errors" in next(g["reason"] for g in status["guards"])
            or status["guards"][0]["outcome"] == "harm"
        )
        await only(stage, CHAMPION)


@pytest.mark.parametrize("why", ["CrashLoopBackOff", "ImagePullBackOff", "Evicted"])
async def test_a_candidate_that_cannot_run_never_has_traffic(server: ApiServer, why: str) -> None:
    async with controlled(server) as stage:
        stage.stuck[CANDIDATE] = why
        await stage.put(ROLLOUT, mine())
        status = await stage.told()
        assert status["phase"] == "RolledBack"
        assert "CandidateCrashed" in list(reasons(await stage.events()))
        said = status["history"][1]["message"]
        assert ("was evicted" if why == "Evicted" else why) in said
        assert all(split.get(CANDIDATE, 0) == 0 for split in stage.splits)
        await only(stage, CHAMPION)


async def test_a_candidate_that_is_evicted_in_mid_rollout_is_removed(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await stage.put(ROLLOUT, mine(steps=[{"weight": 10, "minRequests": 10**6}]))
        await stage.until(lambda status: status.get("weight") == 10)
        stage.stuck[CANDIDATE] = "Evicted"
        status = await stage.ended()
        assert status["phase"] == "RolledBack"
        await only(stage, CHAMPION)


async def test_a_candidate_that_never_becomes_ready_is_removed(server: ApiServer) -> None:
    async with controlled(server) as stage:
        stage.unready.add(CANDIDATE)
        await stage.put(ROLLOUT, mine(limits={"readyTimeout": "1s"}))
        status = await stage.ended()
        assert (status["phase"], status["history"][1]["reason"]) == ("RolledBack", "CandidateNeverReady")
        await only(stage, CHAMPION)


async def test_a_shadow_gets_copies_first(server: ApiServer) -> None:
    async with controlled(server) as stage:
        steps = [{"weight": 100, "shadow": True, "minRequests": 50}, {"weight": 50, "minRequests": 50}]
        stage.rate = 0.0  # until it was seen, or the step may be over before
        await stage.put(ROLLOUT, mine(steps=steps))
        await stage.until(lambda status: status.get("share") == "a copy of 100 %")
        stage.rate = 100.0
        status = await stage.ended()
        assert status["phase"] == "Promoted", status["message"]
        await only(stage, CANDIDATE)


async def test_a_second_person_approves_and_the_first_cannot(server: ApiServer) -> None:
    async with controlled(server) as stage:
        steps = [{"weight": 50, "minRequests": 50}, {"weight": 100, "approval": {}}]
        # Started by ann as the API server would have it; the test acts as the administrator.
        made = mine(steps=steps)
        await stage.put(ROLLOUT, made)
        await stage.phase("AwaitingApproval")
        await stage.put(APPROVAL, word("own"))
        await stage.until(lambda status: "another person" in status["message"])
        refused = await stage.event("ApprovalRefused")
        assert "SRN-APPROVAL-001" in refused["note"]
        assert refused["regarding"]["kind"] == "RolloutApproval"
        assert (await stage.status())["phase"] == "AwaitingApproval"
        from serinus.kube.api import Api

        bob = Api(server.configuration("bob"))
        await grant(stage, "bob")
        await bob.create(
            APPROVAL,
            stage.namespace,
            {"apiVersion": APPROVAL.api_version, "kind": APPROVAL.kind} | word("second", by="bob"),
        )
        await bob.close()
        status = await stage.ended()
        assert status["phase"] == "Promoted"
        assert any("approved by bob (approver)" in entry["message"] for entry in status["history"])


async def grant(stage: Stage, user: str) -> None:
    from serving.rollout.kube.names import Kind

    role = Kind("rbac.authorization.k8s.io", "v1", "roles", "Role")
    binding = Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
    rule = {"apiGroups": ["serinus.io"], "resources": KINDS, "verbs": ["*"]}
    await stage.put(role, {"metadata": {"name": user}, "rules": [rule]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    await stage.put(binding, {"metadata": {"name": user}, "roleRef": reference, "subjects": [subject]})
    review = Kind("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview")
    wanted = {"namespace": stage.namespace, "group": "serinus.io", "resource": KINDS[0], "verb": "create"}
    body = {"apiVersion": review.api_version, "kind": review.kind}
    question = body | {"spec": {"user": user, "resourceAttributes": wanted}}
    async with asyncio.timeout(PATIENCE):
        while not (await stage.api.create(review, None, question))["status"]["allowed"]:
            await asyncio.sleep(0.03)


async def test_people_pause_resume_and_abort(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await stage.put(ROLLOUT, mine(steps=[{"weight": 10, "minRequests": 10**6}]))
        await stage.until(lambda status: status.get("weight") == 10)
        await stage.put(COMMAND, word("hold", command="pause"))
        await stage.phase("Paused")
        await stage.put(COMMAND, word("go", command="resume"))
        await stage.phase("Progressing")
        await stage.put(COMMAND, word("again", command="resume"))
        await stage.until(lambda s: any(e["reason"] == "CommandRefused" for e in s["history"]))
        await stage.put(COMMAND, word("end", command="abort", reason="wrong data"))
        status = await stage.ended()
        assert status["phase"] == "Aborted"
        assert any("abort by admin: wrong data" in entry["message"] for entry in status["history"])
        await only(stage, CHAMPION)


async def test_the_spec_pauses_resumes_and_aborts_too(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await stage.put(ROLLOUT, mine(steps=[{"weight": 10, "minRequests": 10**6}], paused=True))
        await stage.until(lambda status: status.get("reason") == "PausedBySpec")
        assert stage.splits == ALONE
        await stage.change(paused=False)
        await stage.until(lambda status: status.get("weight") == 10)
        for _ in range(2):
            await stage.change(paused=True)
            await stage.phase("Paused")
            await stage.change(paused=False)
            await stage.phase("Progressing")
        await stage.change(abort=True)
        assert (await stage.ended())["phase"] == "Aborted"
        await only(stage, CHAMPION)


async def test_deleting_a_rollout_gives_the_champion_everything_first(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await stage.put(ROLLOUT, mine(steps=[{"weight": 10, "minRequests": 10**6}]))
        await stage.until(lambda status: status.get("weight") == 10)
        found = await stage.api.get(ROLLOUT, stage.namespace, "fraud-4")
        assert found["metadata"]["finalizers"] == [FINALIZER]
        await stage.delete(ROLLOUT, "fraud-4")
        await stage.gone()
        await only(stage, CHAMPION)


async def test_a_rollout_whose_finalizer_was_torn_off_is_still_ended(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await stage.put(ROLLOUT, mine(steps=[{"weight": 10, "minRequests": 10**6}]))
        await stage.becomes({CHAMPION: 90, CANDIDATE: 10})
        await stage.api.merge(ROLLOUT, stage.namespace, "fraud-4", {"metadata": {"finalizers": None}})
        await stage.delete(ROLLOUT, "fraud-4")
        await only(stage, CHAMPION)


async def test_within_the_window_a_promoted_candidate_can_still_be_rolled_back(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await stage.put(ROLLOUT, mine(rollbackWindow="10m"))
        await stage.phase("Promoted")
        assert conditions(await stage.status())["Ended"] == "False"
        assert stage.splits[-1] == {CHAMPION: 0, CANDIDATE: 100}
        await stage.sampled()  # from here on there is nobody to compare with: only a person can still tell
        stage.errors[CANDIDATE] = 0.9
        await stage.put(COMMAND, word("back", command="abort", reason="complaints"))
        assert (await stage.ended())["phase"] == "Aborted"
        await only(stage, CHAMPION)


@pytest.mark.parametrize(
    ("predictors", "spec", "reason", "words"),
    [
        ([], {}, "TargetUnfit", "one predictor must have all traffic, found no predictor"),
        ([predictor("a", 50), predictor("b", 50)], {}, "TargetUnfit", "found a 50 %, b 50 %"),
        ([predictor(CANDIDATE, 100)], {}, "TargetUnfit", f"predictor {CANDIDATE} is in the SeldonDeployment"),
        (
            [{"name": "a", "traffic": 100, "graph": {}}],
            {},
            "TargetUnfit",
            "no container with SERINUS_BUNDLE_URI",
        ),
        ([predictor()], {"abort": True}, "TargetUnfit", "it never began"),
    ],
)
async def test_what_cannot_begin_says_why_and_changes_nothing(
    server: ApiServer, predictors: list[Any], spec: dict[str, Any], reason: str, words: str
) -> None:
    async with controlled(server) as stage:
        await stage.edit(predictors)
        before = (await stage.api.get(SELDON, stage.namespace, TARGET))["metadata"]["generation"]
        await stage.put(ROLLOUT, mine(**spec))
        status = await stage.ended()
        assert (status["phase"], status["reason"]) == ("Failed", reason)
        assert words in status["message"]
        assert (await stage.api.get(SELDON, stage.namespace, TARGET))["metadata"]["generation"] == before


async def test_a_target_has_one_rollout_at_a_time_and_the_next_waits_its_turn(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await stage.put(ROLLOUT, mine(steps=[{"weight": 10, "minRequests": 10**6}]))
        await stage.until(lambda status: status.get("weight") == 10)
        other = "sha256:" + "cd" * 32
        second = rollout(
            "fraud-5", startedBy="admin", candidate={"bundle": {"uri": "s3://5", "digest": other}}
        )
        await stage.put(ROLLOUT, second)
        waits = await stage.until(lambda status: status.get("reason") == "AnotherRollout", "fraud-5")
        assert "fraud-4" in waits["message"]
        await stage.change(abort=True)
        await stage.until(lambda status: status.get("phase") == "Promoted", "fraud-5")


async def test_a_rollout_waits_for_a_target_that_is_not_there_yet(server: ApiServer) -> None:
    async with controlled(server) as stage:
        await stage.delete(SELDON, TARGET)
        await stage.put(ROLLOUT, mine())
        await stage.until(lambda status: status.get("reason") == "TargetAbsent")
        await stage.deploy(predictor())
        assert (await stage.ended())["phase"] == "Promoted"


async def test_those_who_asked_are_told_once(server: ApiServer, tmp_path: Path) -> None:
    async with controlled(server, channels=tmp_path) as stage:
        hook = f"{stage.prometheus.url}/hook"
        (tmp_path / "risk").write_text(f"{hook}\n")
        wanted = [{"url": hook}, {"channel": "risk", "format": "slack", "phases": ["Promoted"]}]
        await stage.put(ROLLOUT, mine(notifications=wanted))
        await stage.told()
        posts = stage.prometheus.posts
        assert [body["reason"] for _, body in posts if "reason" in body] == list(
            reasons(await stage.events())
        )
        (slack,) = [body for _, body in posts if "text" in body]
        assert "Promoted" in slack["text"]


async def test_kubectl_tells_the_story_and_can_wait_for_its_end(server: ApiServer) -> None:
    async def kubectl(*arguments: str) -> str:
        config = server.kubeconfig("admin", stage.namespace)
        process = await asyncio.create_subprocess_exec(
            "kubectl", "--kubeconfig", str(config), *arguments,
            stdout=asyncio.subprocess.PIPE, env=os.environ | {"PATH": tools() or ""},
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode == 0
        return out.decode()

    async with controlled(server) as stage:
        await stage.put(ROLLOUT, mine(steps=[{"weight": 10, "minRequests": 10**6}]))
        await stage.until(lambda status: status.get("reason") == "CollectingRequests")
        columns, row = (await kubectl("get", "mro")).splitlines()
        assert columns.split() == [
            "NAME",
            "TARGET",
            "CANDIDATE",
            "PHASE",
            "SHARE",
            "EVIDENCE",
            "REASON",
            "AGE",
        ]
        assert row.split()[:6] == ["fraud-4", TARGET, CANDIDATE, "Progressing", "10", "%"]
        assert "requests at 10 %" in await kubectl("get", "mro", "-o", "wide")
        await stage.put(COMMAND, word("go", command="promote"))
        await kubectl("wait", "--for=condition=Promoted", "mro/fraud-4", "--timeout=90s")
        described = await kubectl("describe", "mro", "fraud-4")
        for reason in ("Starting", "StepStarted", "PromotedByUser"):
            assert reason in described
        explained = await kubectl("explain", "modelrollout.spec.steps.weight")
        assert "Percent of the traffic" in explained
