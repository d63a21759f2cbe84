"""The access policy on the running platform: who starts, approves, promotes and stops, through the real programs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from serinus.home import Home
from serinus.registry import Registry
from serving.local.control import ControlServer
from serving.local.platform import Platform
from serving.rollout.status import Phase

from ...unit.access.policies import BANK
from .support import MODEL, QUICK, installation

pytestmark = [pytest.mark.anyio, pytest.mark.local]
WHY = "The approver is in hospital and fraud runs at 40 k an hour; reviewed by phone."


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def bank(tmp_path: Path, tier: int) -> Home:
    home, _ = installation(tmp_path / "home", 1, 2)
    with Registry(home).transaction() as db:
        db.execute("UPDATE versions SET tier = ?, built_by = 'ben'", (tier,))
    home.policy.write_text(BANK.replace("approver], expire", "approver], before: canary, expire"))
    return home


async def serinus(home: Home, *arguments: str) -> tuple[int, str]:
    """One command from another shell: exit code and what it said."""
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from serinus.cli.main import run; run()"),
        *arguments,
        env=os.environ | {"SERINUS_HOME": str(home.root)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await done.communicate()
    return done.returncode or 0, " ".join(out.decode().split())


async def test_a_tier_1_version_meets_no_customer_before_a_validator_and_an_approver_agreed(
    tmp_path: Path,
) -> None:
    home = bank(tmp_path, 1)
    async with Platform(home, QUICK) as platform:
        await platform.start()
        control = ControlServer(platform)
        await control.start()
        start = ("rollout", "start", "2", "--steps", "50,100", "--min-requests", "100000", "--no-approval")
        code, out = await serinus(home, *start, "--as", "vera")
        assert (code, "SRN-ACCESS-005" in out, "role developer or operator" in out) == (1, True, True), out
        code, out = await serinus(home, *start, "--as", "pat")
        assert code == 0, out
        waiting = await platform.wait_rollout(Phase.AWAITING_APPROVAL, timeout=60)
        assert (waiting.step, waiting.weight) == (-1, 0)

        said = ("rollout", "approve", "--reason", "read the report")
        refused = [("ben", "approver"), ("pat", "breakglass"), ("vera", "approver"), ("rita", "reviewer")]
        for who, role in refused:
            code, out = await serinus(home, *said, "--as", who, "--role", role)
            assert code == 1, (who, out)
        code, out = await serinus(home, "rollout", "status")
        both = "waits for the word of: validator (vera, vic, dora); approver (oscar, olga, ann)"
        assert (code, both in out) == (13, True), out
        for who, role, missing in (
            ("vera", "validator", " Still missing: approver (oscar, olga, ann)."),
            ("oscar", "approver", ""),
        ):
            assert platform.rollout_status().phase is Phase.AWAITING_APPROVAL
            code, out = await serinus(home, *said, "--as", who, "--role", role)
            assert (code, out) == (0, f"Approved by {who} as {role}.{missing}")
        await platform.wait_rollout(Phase.PROGRESSING, timeout=60)

        code, out = await serinus(home, "rollout", "promote", "--as", "ann")
        assert (code, "role operator" in out) == (1, True), out
        code, out = await serinus(home, "rollout", "abort", "--as", "vera", "--reason", "seen enough")
        assert code == 0, out
        await control.stop()
    actions = [(entry.actor, entry.action) for entry in Registry(home).audit.entries()]
    assert ("vera", "access-refused") in actions
    assert ("ben", "approval-refused") in actions
    assert ("oscar", "approve") in actions


async def test_words_given_for_the_version_before_its_rollout_count(tmp_path: Path) -> None:
    home = bank(tmp_path, 2)
    Registry(home).approve(MODEL, 2, by="olga", role="approver", reason="read the report")
    async with Platform(home, QUICK) as platform:
        await platform.start()
        control = ControlServer(platform)
        await control.start()
        start = ("rollout", "start", "2", "--steps", "50,100", "--min-requests", "100000", "--no-approval")
        code, out = await serinus(home, *start, "--as", "pat")
        assert code == 0, out
        await platform.wait_rollout(Phase.PROGRESSING, timeout=60)
        await control.stop()


async def test_an_override_goes_on_and_is_recorded_with_its_justification(tmp_path: Path) -> None:
    home = bank(tmp_path, 1)
    async with Platform(home, QUICK) as platform:
        await platform.start()
        control = ControlServer(platform)
        await control.start()
        start = ("rollout", "start", "2", "--steps", "50,100", "--min-requests", "100000", "--no-approval")
        assert (await serinus(home, *start, "--as", "ben"))[0] == 0
        await platform.wait_rollout(Phase.AWAITING_APPROVAL, timeout=60)
        code, out = await serinus(
            home, "rollout", "approve", "--as", "pat", "--role", "breakglass", "--reason", WHY
        )
        assert code == 0, out
        await platform.wait_rollout(Phase.PROGRESSING, timeout=60)
        code, out = await serinus(home, "rollout", "history", "--output", "json")
        assert "ApprovalOverridden" in [entry["reason"] for entry in json.loads(out)]
        await control.stop()
    (entry,) = [e for e in Registry(home).audit.entries() if e.action == "override"]
    assert (entry.actor, entry.reason, entry.subject) == ("pat", WHY, f"{MODEL}/2")


async def test_what_is_served_by_hand_is_in_the_audit_log_and_what_served_last_is_not(tmp_path: Path) -> None:
    home = bank(tmp_path, 1)
    async with Platform(home, QUICK) as platform:
        await platform.start("2")
    async with Platform(home, QUICK) as platform:
        await platform.start()
    (told,) = [entry for entry in Registry(home).audit.entries() if entry.action == "serve"]
    assert (told.subject, told.details["missing"]) == ("small/2", ["validator", "approver"])
