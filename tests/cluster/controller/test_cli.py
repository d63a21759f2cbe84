"""``serinus rollout`` through the Kubernetes API: the words and exit codes of one machine."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from serinus.cli.main import main
from serving.rollout.kube.names import APPROVAL, ROLLOUT
from tests.support.apiserver import ApiServer

from .server import controlled
from .stage import CANDIDATE, CHAMPION, DIGEST, TARGET, Stage, rollout
from .test_life import grant

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Shell:
    """One user's command line."""

    def __init__(self, server: ApiServer, stage: Stage, user: str, capsys: Any) -> None:
        self._where = ("--kubeconfig", str(server.kubeconfig(user, stage.namespace)))
        self._capsys = capsys
        self.out = self.err = ""

    async def run(self, *arguments: str) -> int:
        self._capsys.readouterr()
        code = await asyncio.to_thread(main, ["rollout", *arguments, *self._where])
        self.out, self.err = self._capsys.readouterr()
        return code


async def test_a_rollout_is_started_watched_approved_and_promoted(
    server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with controlled(server) as stage:
        await grant(stage, "ann")
        await grant(stage, "bob")
        ann, bob = (Shell(server, stage, user, capsys) for user in ("ann", "bob"))
        start = ["start", "s3://models/fraud/4", "--digest", DIGEST, "--target", TARGET, "--steps", "50,100"]
        start += ["--min-requests", "30", "--min-seconds", "0"]
        assert await ann.run(*start) == 0, ann.err
        name = f"{TARGET}-ababababab"
        assert ann.out.startswith(f"{name}: Pending, {CANDIDATE} at 0 % beside the champion")
        assert (await stage.api.get(ROLLOUT, stage.namespace, name))["spec"]["startedBy"] == "ann"

        assert await ann.run("status", "--watch", "--timeout", "90") == 13  # waits for a person
        assert "ApprovalNeeded" in ann.out
        assert await ann.run("approve", "--reason", "it is mine") == 1
        assert "SRN-APPROVAL-001" in ann.err
        assert await bob.run("approve", "--reason", "seen", "--role", "model-risk") == 1
        assert "bob does not have the role model-risk" in bob.err
        assert await bob.run("approve", "--reason", "read the evidence") == 0, bob.err
        assert bob.out == "Approved by bob as approver.\n"
        # The command waits a moment for what follows; the watch would end at once where a person is still waited for.
        await stage.until(lambda status: status["phase"] != "AwaitingApproval", name)

        assert await ann.run("status", "--watch", "--timeout", "90", "--rollout", name) == 0
        assert "Promoted" in ann.out
        assert await ann.run("history", "-o", "json") == 0
        reasons = [entry["reason"] for entry in json.loads(ann.out)]
        assert reasons[-1] == "Promoted"
        assert await ann.run("abort") == 1
        assert "SRN-ROLLOUT-008" in ann.err


async def test_whose_word_is_missing_is_said_by_role(
    server: ApiServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async with controlled(server) as stage:
        steps = [
            {"weight": 10, "minRequests": 1},
            {"weight": 100, "approval": {"roles": ["approver", "approver-too"]}},
        ]
        manifest = rollout("four-eyes", steps=steps)
        manifest["spec"].pop("startedBy")
        (tmp_path / "rollout.yaml").write_text(yaml.safe_dump(manifest))
        for user in ("ann", "bob"):
            await grant(stage, user)
        ann, bob = (Shell(server, stage, user, capsys) for user in ("ann", "bob"))
        assert await ann.run("start", "-f", str(tmp_path / "rollout.yaml")) == 0, ann.err
        assert await ann.run("status", "--watch", "--timeout", "60") == 13
        assert "  waits for the word of: approver; approver-too\n" in ann.out
        assert await ann.run("status", "-o", "json") == 13
        assert json.loads(ann.out)["awaits"] == ["approver", "approver-too"]
        assert await bob.run("approve", "--reason", "read the evidence", "-o", "json") == 0, bob.err
        # Counted at the controller's next look, which the command waits for, but not for ever.
        async with asyncio.timeout(60):
            while json.loads(bob.out)["awaits" if "awaits" in bob.out else "missing"] != ["approver-too"]:
                await bob.run("status", "-o", "json")
        assert await ann.run("abort", "--reason", "seen enough") == 0, ann.err


async def test_commands_are_obeyed_or_refused_with_the_engines_reason(
    server: ApiServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async with controlled(server) as stage:
        await grant(stage, "ann")
        ann = Shell(server, stage, "ann", capsys)
        manifest = rollout("fraud-4", startedBy="ann", steps=[{"weight": 10, "minRequests": 10**6}])
        (tmp_path / "rollout.yaml").write_text(yaml.safe_dump(manifest))
        assert await ann.run("start", "-f", str(tmp_path / "rollout.yaml")) == 0, ann.err
        assert await ann.run("start", "-f", str(tmp_path / "rollout.yaml")) == 1
        assert "SRN-ROLLOUT-004" in ann.err
        await stage.until(lambda status: status.get("weight") == 10)
        assert await ann.run("approve", "--reason", "in advance") == 1
        assert "SRN-ROLLOUT-008" in ann.err
        assert "the rollout is Progressing, and nobody is asked to approve" in ann.err
        assert (await stage.api.list(APPROVAL, stage.namespace))["items"] == []
        assert await ann.run("resume") == 1
        assert "SRN-ROLLOUT-008" in ann.err
        assert "not paused" in ann.err
        assert await ann.run("pause", "--reason", "wait for risk") == 0, ann.err
        assert ann.out.startswith("Paused: pause by ann: wait for risk")
        assert await ann.run("status") == 13
        assert await ann.run("resume") == 0
        assert await ann.run("status") == 0
        assert f"{CANDIDATE} at 10 % beside {CHAMPION}" in ann.out
        assert await ann.run("abort", "--reason", "wrong data") == 0
        assert await ann.run("status", "--watch", "--timeout", "90") == 11


async def test_a_rollout_that_is_rolled_back_says_so_by_its_exit_code(
    server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with controlled(server) as stage:
        await grant(stage, "ann")
        ann = Shell(server, stage, "ann", capsys)
        stage.errors[CANDIDATE] = 0.5
        await stage.put(ROLLOUT, rollout(startedBy="admin"))
        assert await ann.run("status", "--watch", "--timeout", "90") == 10
        assert "GuardHarm" in ann.out


async def test_what_cannot_be_done_says_why(
    server: ApiServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async with controlled(server) as stage:
        ann = Shell(server, stage, "ann", capsys)
        assert await ann.run("status") == 1
        assert "SRN-ROLLOUT-011" in ann.err  # no right yet
        await grant(stage, "ann")
        assert await ann.run("status") == 1
        assert "SRN-ROLLOUT-005" in ann.err
        assert await ann.run("start", "s3://models/4", "--target", TARGET) == 2
        assert "--digest" in ann.err
        assert await ann.run("start", "s3://models/4", "--target", TARGET, "--digest", "latest") == 1
        assert "SRN-ROLLOUT-001" in ann.err
        assert "spec.candidate.bundle.digest" in ann.err
        local = tmp_path / "local.yaml"
        local.write_text("model: fraud\ncandidate: '4'\n")
        assert await ann.run("start", "-f", str(local)) == 1
        assert "platform on one machine" in ann.err
        assert await ann.run("status", "--home", str(tmp_path)) == 2


def test_a_cluster_that_does_not_answer_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cluster = {"server": "http://127.0.0.1:1"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "t", "cluster": cluster}],
        "users": [{"name": "t", "user": {}}],
        "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
        "current-context": "t",
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(document))
    assert main(["rollout", "status", "--kubeconfig", str(path)]) == 1
    assert "SRN-ROLLOUT-009" in capsys.readouterr().err
    assert main(["rollout", "status", "--kubeconfig", str(tmp_path / "none")]) == 1
    assert "SRN-ROLLOUT-009" in capsys.readouterr().err
    assert main(["rollout", "status", "--rollout", "x"]) == 2
