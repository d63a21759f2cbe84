"""The record keeper beside a controller on a real API server, with the chart's rights and killed while it works: the
home's registry and audit chain tell the rollout's story, each thing once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from serinus.audit import Action, AuditLog
from serinus.home import Home
from serinus.kube.api import Api
from serinus.registry import Registry
from serving.rollout.kube.names import APPROVAL, COMMAND, ROLLOUT
from tests.support.apiserver import ApiServer
from tests.support.bundles import small_bundle, small_home

from .server import acting, controlled, staged
from .stage import PATIENCE, Stage, predictor, rollout
from .test_life import grant, word
from .test_rbac import BINDING, ROLE

pytestmark = pytest.mark.anyio

USER = "controller"  # one that the session's server knows; here it has the record keeper's rights alone
RIGHTS = {
    "apiGroups": ["serinus.io"],
    "resources": ["modelrollouts", "rolloutapprovals", "rolloutcommands"],
    "verbs": ["list", "watch"],
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def none_is_left() -> Iterator[None]:
    """A test that fails leaves no keeper behind."""
    yield
    for process in Program.started:
        process.kill()
        process.wait(20)
    Program.started.clear()


class Program:
    """``python -m serving.registrar`` in one namespace."""

    started: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, server: ApiServer, stage: Stage, home: Home, *flags: str) -> None:
        self._log = (home.root / "records.err").open("ab")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "serving.registrar", "--home", str(home.root)),
                *("--namespace", stage.namespace, "--kubeconfig", str(server.kubeconfig(USER))),
                *flags,
            ],
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | {"MLFLOW_TRACKING_URI": "", "OPENLINEAGE_URL": ""},
        )
        self.started.append(self.process)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (home.root / "records.err").read_text()
        self.url = f"http://127.0.0.1:{json.loads(line)['port']}"

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
            return await client.get(f"{self.url}{path}")

    async def ready(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while (await self.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.05)

    def end(self, *, kill: bool = False) -> int:
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        code = self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()
        return code


async def allow(stage: Stage) -> None:
    """The rights that the chart gives, and no others."""
    await stage.put(ROLE, {"metadata": {"name": "records"}, "rules": [RIGHTS]})
    reference = {"apiGroup": ROLE.group, "kind": "Role", "name": "records"}
    subject = {"apiGroup": ROLE.group, "kind": "User", "name": USER}
    await stage.put(BINDING, {"metadata": {"name": "records"}, "roleRef": reference, "subjects": [subject]})


def registered(tmp_path: Path) -> tuple[Home, str, str]:
    """A home with two versions; the digests of the champion and of the candidate."""
    home = small_home(tmp_path)
    registry = Registry(home)
    made = [small_bundle(tmp_path, version=version, seed=version) for version in (1, 2)]
    for bundle in made:
        registry.register(bundle, by="ann", owner="cards", run="r")
    return home, made[0].digest, made[1].digest


def entries(home: Home) -> list[Action]:
    return list(AuditLog(home.audit).entries())


async def recorded(home: Home, action: str) -> None:
    """Wait for an entry of that action. A rollout that is aborted has two: the decision, and its end."""
    async with asyncio.timeout(PATIENCE):
        while not any(entry.action == action for entry in entries(home)):
            await asyncio.sleep(0.05)


async def followed(home: Home, status: dict[str, Any], words: int) -> list[Action]:
    """Wait until the last turn that a status tells of is recorded, and so many words; all entries.

    Turns and words come by two ways, and a word waits until its second is over: either may be the last.
    """
    last = max(entry["seq"] for entry in status["history"])
    async with asyncio.timeout(PATIENCE):
        while True:
            found = entries(home)
            said = sum("word" in entry.details for entry in found)
            if max(turns(found), default=-1) >= last and said >= words:
                return found
            await asyncio.sleep(0.05)


def turns(found: list[Action]) -> list[int]:
    """The numbers of the turns, as recorded."""
    return [entry.details["seq"] for entry in found if "seq" in entry.details]


def stages(home: Home) -> list[str]:
    return [version.stage for version in Registry(home).versions("small")]


def candidate(digest: str, **spec: Any) -> dict[str, Any]:
    given = {"bundle": {"uri": "s3://models/fraud/4", "digest": digest}}
    return rollout(startedBy="admin", candidate=given, **spec)


def verified(home: Home) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serinus.cli", "audit", "verify", "--home", str(home.root)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def test_a_promotion_with_its_approvals_is_in_registry_and_chain_though_it_was_killed(
    server: ApiServer, tmp_path: Path
) -> None:
    home, old, new = registered(tmp_path)
    async with controlled(server) as stage:
        await allow(stage)
        await stage.edit([predictor(digest=old)])
        steps = [
            {"weight": 10, "minRequests": 20},
            {"weight": 50, "minRequests": 40, "approval": {"required": True}},
        ]
        first = Program(server, stage, home)
        await first.ready()
        await stage.put(ROLLOUT, candidate(new, steps=steps))
        await recorded(home, "rollout-StepStarted")
        assert first.end(kill=True) == -9
        # While nobody records: the builder's word is refused, and another person's counts.
        await stage.phase("AwaitingApproval")
        await stage.put(APPROVAL, word("own"))
        bob = Api(server.configuration("bob"))
        await grant(stage, "bob")
        body = {"apiVersion": APPROVAL.api_version, "kind": APPROVAL.kind} | word("second", by="bob")
        await bob.create(APPROVAL, stage.namespace, body)
        await bob.close()
        second = Program(server, stage, home)
        status = await stage.ended()
        assert status["phase"] == "Promoted"
        found = await followed(home, status, words=2)
        words = Counter((e.action, e.actor) for e in found if "word" in e.details)
        assert stages(home) == ["retired", "champion"]
        assert turns(found) == list(range(status["history"][-1]["seq"] + 1))
        assert words == {("approval-refused", "admin"): 1, ("approve", "bob"): 1}
        assert [approval.by for approval in Registry(home).approvals("small", 2)] == ["bob"]
        metrics = (await second.get("/metrics")).text
        assert 'serinus_review_due_timestamp_seconds{model="small",version="2"}' in metrics
        assert "serinus_records_gaps_total 0.0" in metrics
        assert (await second.get("/healthz")).status_code == 200
        assert second.end() == 0
    verified(home)


async def test_a_rollback_and_a_command_are_and_a_third_beginning_repeats_nothing(
    server: ApiServer, tmp_path: Path
) -> None:
    home, old, new = registered(tmp_path)
    async with controlled(server) as stage:
        await allow(stage)
        await stage.edit([predictor(digest=old)])
        program = Program(server, stage, home)
        await stage.put(ROLLOUT, candidate(new, steps=[{"weight": 10, "minRequests": 100_000_000}]))
        await stage.phase("Progressing")
        await stage.put(COMMAND, word("stop", command="abort", reason="wrong extract"))
        await followed(home, await stage.ended(), words=1)
        assert "rollout-abort" in [entry.action for entry in entries(home)]
        assert program.end() == 0
        assert stages(home) == ["champion", "rolled_back"]
        before = entries(home)
        again = Program(server, stage, home)
        await again.ready()
        assert entries(home) == before
        # Deleted while nobody follows: that is said, once.
        assert again.end() == 0
        await stage.api._call("DELETE", ROLLOUT.path(stage.namespace, "fraud-4"))
        await stage.gone()
        for _ in range(2):
            late = Program(server, stage, home)
            await late.ready()
            assert late.end() == 0
        added = [entry.action for entry in entries(home)[len(before) :]]
        assert added == ["rollout-deleted"]
    verified(home)


async def test_words_on_no_rollout_and_an_emptied_status_are_recorded_as_what_they_are(
    server: ApiServer, tmp_path: Path
) -> None:
    home, old, new = registered(tmp_path)
    async with staged(server) as stage:
        await allow(stage)
        await stage.edit([predictor(digest=old)])
        program = Program(server, stage, home)
        # Given before there is such a rollout: it stops none that is made later.
        await stage.put(COMMAND, word("early", command="abort", reason="another one"))
        await recorded(home, "command-refused")
        async with acting(server, stage):
            await stage.put(ROLLOUT, candidate(new, steps=[{"weight": 10, "minRequests": 100_000_000}]))
            await stage.phase("Progressing")
            await recorded(home, "rollout-StepStarted")
        # Somebody empties the status while no controller is there; the next one can only go back.
        await stage.empty()
        async with acting(server, stage):
            await recorded(home, "rollout-gap")
            assert (await stage.ended())["phase"] == "RolledBack"
            await recorded(home, "rollout-RolledBack")
            await stage.api._call("DELETE", ROLLOUT.path(stage.namespace, "fraud-4"))
            await recorded(home, "rollout-deleted")
        # On a name that nobody has any more: recorded at once, not waited with.
        await stage.put(APPROVAL, word("late"))
        await recorded(home, "approval-refused")
        found = entries(home)
        gap = next(entry for entry in found if entry.action == "rollout-gap")
        assert gap.details["anew"] >= 2
        assert turns(found[found.index(gap) + 1 :]) == [1, 2, 2]  # the turns, and the deletion after them
        assert "rollout-Aborted" not in [entry.action for entry in found]
        assert "serinus_records_gaps_total 1.0" in (await program.get("/metrics")).text
        assert program.end() == 0
    verified(home)


async def test_a_digest_that_is_not_registered_is_recorded_and_counted(
    server: ApiServer, tmp_path: Path
) -> None:
    home = small_home(tmp_path)
    home.root.mkdir(parents=True)
    async with controlled(server) as stage:
        await allow(stage)
        program = Program(server, stage, home)
        made = rollout(startedBy="admin")
        await stage.put(ROLLOUT, made)
        await stage.ended()
        await recorded(home, "rollout-Promoted")
        found = [entry for entry in entries(home) if entry.action == "rollout-Promoted"]
        digest = made["spec"]["candidate"]["bundle"]["digest"]
        assert [(e.subject, e.details["registry"]) for e in found] == [(digest, "does not know this digest")]
        assert "serinus_records_unknown_digests_total 1.0" in (await program.get("/metrics")).text
        assert program.end() == 0
    assert Registry(home).models() == []


async def test_a_second_one_on_the_same_home_ends(server: ApiServer, tmp_path: Path) -> None:
    home = small_home(tmp_path)
    home.root.mkdir(parents=True)
    async with controlled(server) as stage:
        await allow(stage)
        program = Program(server, stage, home)
        command = [*(sys.executable, "-m", "serving.registrar", "--home", str(home.root))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 2
        assert "SRN-AUDIT-001" in done.stderr
        assert program.end() == 0
