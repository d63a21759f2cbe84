"""``serinus watch`` on the real programs, by their own pages and by a real Prometheus that scrapes them."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.local import monitoring, scraping
from serving.local.control import ControlServer
from serving.local.platform import Platform
from serving.rollout.status import Phase
from tests.local.drift.support import need
from tests.local.platform.support import eventually, installation, load, spec_for
from tests.local.watch.support import ask, firing
from tests.local.watch.test_alerts import SETTINGS, send
from tests.support.bundles import small_records

pytestmark = [pytest.mark.anyio, pytest.mark.local, pytest.mark.timeout(900)]
SERINUS = Path(sys.executable).with_name("serinus")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def watched(*flags: str) -> tuple[int, str, str]:
    """Exit code, output and errors of ``serinus watch --once``."""
    process = await asyncio.create_subprocess_exec(
        str(SERINUS),
        "watch",
        "--once",
        *flags,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


async def frame(*flags: str) -> dict[str, Any]:
    code, out, error = await watched(*flags, "--output", "json")
    assert code == 0, error
    return json.loads(out)


async def test_service_rollout_drift_and_labels_of_the_real_programs(tmp_path: Path) -> None:
    tools = monitoring.find_prometheus()
    need(tools is not None, "prometheus and prometheus-alertmanager")
    assert tools is not None
    home, _ = installation(tmp_path / "home", 1, 3)
    async with Platform(home, SETTINGS) as platform, httpx.AsyncClient(timeout=60.0) as client:
        await platform.start()
        for sidecar in platform.sidecars():
            await sidecar.wait_ready(90.0)
        assert platform.retrain is not None
        control = ControlServer(platform)
        await control.start()
        running = await monitoring.start(
            tools,
            tmp_path / "prometheus",
            scraping.targets(platform),
            f"{platform.retrain.url}/api/v1/alerts",
            mark=platform.mark,
            timeout=90.0,
        )
        try:
            await send(client, platform.url, small_records(450, seed=3), 0.2)
            under_load = asyncio.create_task(load(platform.url, 80).run())
            await _pages(platform, home.root)
            await _prometheus(platform, running)
            under_load.cancel()
        finally:
            await control.stop()
            await running.stop()


async def _pages(platform: Platform, home: Path) -> None:
    async with asyncio.timeout(120):
        # A program that a busy machine keeps from answering within two seconds is told as a problem.
        while (found := await frame("--home", str(home), "--interval", "2s"))["problems"]:
            pass
    (champion,) = found["services"]
    assert champion["rate"] > 10
    assert champion["errors"] == 0
    assert 0 < champion["p50"] <= champion["p99"]
    assert (found["problems"], found["alerts"]) == ([], None)

    async def judged() -> bool:
        found = await frame("--home", str(home))
        return bool(found["drift"] and found["drift"][0]["features"] and found["labels"])

    async with asyncio.timeout(120):
        while not await judged():
            pass
    await platform.start_rollout(spec_for(3), by="ann")
    await platform.wait_rollout(Phase.ROLLED_BACK, timeout=90)
    (rollout,) = (await frame("--home", str(home)))["rollouts"]
    assert rollout["phase"] == "RolledBack"
    assert rollout["evidence"] >= rollout["threshold"]
    assert rollout["guards"][0][0] == "errors"
    code, out, error = await watched("--home", str(home))
    assert (code, error) == (0, "")
    for section in ("SERVICE", "ROLLOUT", "RolledBack", "DRIFT", "LABELS", "nothing is reported of: alerts"):
        assert section in out, out
    assert max(map(len, out.splitlines())) <= 80


async def _prometheus(platform: Platform, running: monitoring.Monitoring) -> None:
    running.set_targets(scraping.targets(platform))
    await eventually(
        lambda: ask(running, "query", query='serinus_rollout_phase{phase="RolledBack"}')["result"], 90
    )
    await eventually(lambda: "SerinusCanaryRolledBack" in firing(running), 90)
    found = await frame("--prometheus", running.prometheus_url, "--over", "10s")
    assert (
        [s["predictor"] for s in found["services"]][:1] == [platform.champion.name]
        if platform.champion
        else []
    )
    assert found["rollouts"][0]["phase"] == "RolledBack"
    assert found["drift"][0]["features"]
    assert found["labels"][0]["measures"]
    assert found["audit"]["broken"] is False
    assert "SerinusCanaryRolledBack" in {alert["name"] for alert in found["alerts"]}
    code, out, error = await watched("--prometheus", running.prometheus_url)
    assert (code, error) == (0, "")
    assert "SerinusCanaryRolledBack" in out
