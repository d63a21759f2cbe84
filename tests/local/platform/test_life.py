"""The platform's life and death: nothing of it is left behind, however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry
from serving.local.platform import Platform, Settings
from serving.rollout.remote import call
from serving.rollout.status import Phase, RolloutStatus, Routes, encode

from .support import MODEL, QUICK, eventually, family, installation, load, marks_of, spec_for

pytestmark = [pytest.mark.anyio, pytest.mark.local]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def daemon(home: Home, **settings: Any) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """A platform in a process of its own, as ``serinus up`` starts it."""
    text = msgspec.json.encode(msgspec.structs.replace(QUICK, **settings)).decode()
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.local.daemon", "--home", str(home.root), "--settings", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def children(home: Home) -> dict[str, int]:
    found: dict[str, int] = call(home, "status")["processes"]
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_no_process_outlives_the_supervisor(tmp_path: Path, number: int) -> None:
    home, _ = installation(tmp_path / "home", 1)
    process, said = daemon(home)
    assert said["ready"]
    mark = marks_of(children(home)["envoy"])
    assert len(family(mark)) == 2
    process.send_signal(number)
    process.wait(60)
    await eventually(lambda: not family(mark))
    if number != signal.SIGKILL:
        assert process.returncode == 0
        with pytest.raises(SerinusError, match="SRN-PLATFORM-009"):
            call(home, "status")


async def test_after_a_kill_the_unfinished_rollout_ends_with_the_champion(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1, 2)
    process, _ = daemon(home)
    call(home, "rollout.start", spec=msgspec.to_builtins(spec_for(2)), by="ann")

    def phase() -> str:
        return call(home, "rollout.status")["phase"]

    await eventually(lambda: phase() == "Progressing")
    mark = marks_of(children(home)["envoy"])
    process.kill()
    process.wait()
    await eventually(lambda: not family(mark))
    async with Platform(home, QUICK) as platform:
        await platform.start()
        status = await platform.wait_rollout(timeout=60)
        condition = status.condition("RolledBack")
        assert condition is not None
        assert (status.phase, condition.reason) == (Phase.ROLLED_BACK, "CandidateGone")
        assert set((await load(platform.url, 100).run(requests=50)).predictors) == {"v1"}


async def test_a_promotion_interrupted_by_a_kill_is_finished(tmp_path: Path) -> None:
    home, bundles = installation(tmp_path / "home", 1, 2)
    async with Platform(home, QUICK) as platform:
        await platform.start()
        await platform.start_rollout(spec_for(2), by="ann")
        await platform.wait_rollout(Phase.PROGRESSING, timeout=60)
        status = platform.rollout_status()
        assert platform.rollout is not None
        path = platform.rollout.directory / "status.json"
    # As an engine leaves it that was killed between saving its intent and acting on it.
    candidate = Routes(stable="v2")
    path.write_bytes(encode(replace(status, phase=Phase.PROMOTING, desired=candidate, verified=None)))
    async with Platform(home, QUICK) as platform:
        await platform.start()
        assert platform.champion is not None
        assert platform.champion.digest == bundles[2].digest
        assert (await platform.wait_rollout(Phase.PROMOTED, timeout=60)).phase is Phase.PROMOTED
        assert set((await load(platform.url, 100).run(requests=30)).predictors) == {"v2"}
    assert Registry(home).get(MODEL, "champion").version == 2


async def test_a_shell_starts_asks_and_stops_the_platform(tmp_path: Path) -> None:
    home, bundles = installation(tmp_path / "home", 1)
    cli = [sys.executable, "-c", "from serving.local.cli import app; app()"]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*cli, *arguments, "--home", str(home.root)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    bundle = str(bundles[1].path)
    said = json.loads(run("up", "--bundle", bundle, "--port", "0", "--no-drift", "--output", "json"))
    assert (await load(said["url"], 50).run(requests=20)).bad == 0
    found = json.loads(run("status", "--output", "json"))
    assert (found["url"], found["champion"]["version"]) == (said["url"], 1)
    mark = marks_of(found["processes"]["envoy"])
    assert "v1" in run("status")
    assert "down" in run("down")
    assert not family(mark)
    assert "Nothing is running" in run("down")


async def test_other_shells_start_watch_and_command_a_rollout(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1, 2)
    process, said = daemon(home)
    replay = load(said["url"], 100)
    traffic = asyncio.create_task(replay.run())
    cli = [sys.executable, "-c", "from serving.rollout.cli import app; app()"]
    environment = os.environ | {"SERINUS_HOME": str(home.root)}

    async def run(*arguments: str) -> tuple[int, str]:
        done = await asyncio.create_subprocess_exec(
            *cli, *arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        out, _ = await done.communicate()
        assert done.returncode is not None
        return done.returncode, out.decode()

    code, out = await run(
        "start", "2", "--steps", "50,100", "--min-requests", "20", "--min-seconds", "0", "--as", "ann"
    )
    assert code == 0, out
    code, out = await run("status", "--watch", "--timeout", "90")
    assert (code, "ApprovalNeeded" in out) == (13, True), out
    code, out = await run("approve", "--as", "bob", "--role", "risk", "--reason", "looks right")
    assert code == 0, out
    code, out = await run("status", "--watch", "--timeout", "90")
    assert (code, "Promoted" in out) == (0, True), out
    code, out = await run("history", "--output", "json")
    assert [e["reason"] for e in json.loads(out)][-1] == "Promoted"
    code, out = await run("abort", "--as", "ann")
    assert code == 1
    assert "SRN-ROLLOUT-008" in out.replace("\n", "")
    replay.stop()
    assert (await traffic).bad == 0
    status = msgspec.convert(call(home, "rollout.status"), RolloutStatus)
    assert status.ended
    call(home, "down")
    assert process.wait(60) == 0


async def test_the_control_port_refuses_a_wrong_token_and_its_file_is_the_owners(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1)
    process, _ = daemon(home)
    path = home.platform / "control.json"
    assert path.stat().st_mode & 0o777 == 0o600
    held = json.loads(path.read_text())
    path.write_text(json.dumps(held | {"token": "guess"}))
    with pytest.raises(SerinusError, match="SRN-PLATFORM-010"):
        call(home, "down")
    process.terminate()
    process.wait(60)


async def test_a_port_in_use_is_said_before_anything_is_started(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process, said = daemon(home, port=port)
        assert said["error"]["code"] == "SRN-PLATFORM-001"
        assert str(port) in said["error"]["where"]
        assert process.wait(60) == 1


async def test_two_platforms_do_not_share_a_home(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1)
    async with Platform(home, QUICK) as platform:
        await platform.start()
        with pytest.raises(SerinusError, match="SRN-PLATFORM-002"):
            await Platform(home, QUICK).start()
        assert (await load(platform.url, 100).run(requests=20)).bad == 0


async def test_a_scorer_that_cannot_start_is_quoted_and_nothing_is_left(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 6)
    platform = Platform(home, QUICK)
    with pytest.raises(SerinusError, match="SRN-PLATFORM-005") as failure:
        await platform.start()
    assert "the model cannot be loaded" in str(failure.value)
    assert not family(platform.id)


async def test_without_a_model_the_platform_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SerinusError, match="SRN-PLATFORM-007"):
        await Platform(Home(tmp_path / "home"), Settings()).start()
