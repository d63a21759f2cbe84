"""The platform with all its programs: payloads reach the drift monitor, an alert starts a run, all of it ends."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pytest

from serinus.metrics import DRIFT_PAYLOADS
from serving.local.platform import Platform
from serving.rollout.adapters.scrape import rows
from serving.rollout.status import Phase

from .support import MODEL, QUICK, REAL, eventually, family, installation, load, spec_for

pytestmark = [pytest.mark.anyio, pytest.mark.local]
NUMPY = ("--detector", "numpy")  # Alibi Detect takes long to import, and is tested elsewhere
RUN = f"{shlex.quote(sys.executable)} -c 'import threading; threading.Event().wait()'"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def alert() -> dict[str, object]:
    now = datetime.now(UTC).isoformat()
    labels = {"alertname": "FeatureDrift", "model": MODEL, "retrain": "true"}
    return {
        "version": "4",
        "alerts": [
            {"status": "firing", "labels": labels, "startsAt": now, "fingerprint": "f1", "annotations": {}}
        ],
    }


async def test_a_run_begun_by_an_alert_ends_with_the_platform(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1)
    platform = Platform(home, msgspec.structs.replace(QUICK, retrain=RUN))
    async with platform:
        await platform.start()
        assert platform.retrain is not None
        await platform.retrain.wait_ready(90)
        before = len(family(platform.id))
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.post(f"{platform.retrain.url}/api/v1/alerts", json=alert())
        assert answer.is_success, answer.text
        await eventually(lambda: len(family(platform.id)) > before)
    assert not family(platform.id)


async def test_requests_to_real_scorers_reach_the_drift_monitor_which_follows_the_champion(
    tmp_path: Path,
) -> None:
    home, _ = installation(tmp_path / "home", 1, 2)
    async with Platform(
        home, msgspec.structs.replace(REAL, drift=True, drift_window=200, drift_flags=NUMPY)
    ) as platform:
        await platform.start()
        assert platform.drift is not None
        await platform.drift.wait_ready(90)
        tally = await load(platform.url, 60).run(requests=120)
        assert tally.bad == 0

        url = f"{platform.drift.url}/metrics"
        async with httpx.AsyncClient(timeout=60) as client:
            page = (await client.get(url)).text
            while sum(value for name, _, value in rows(page) if name == DRIFT_PAYLOADS) < 100:
                page = (await client.get(url)).text

        first = platform.drift.child
        assert first is not None
        await platform.start_rollout(spec_for(2), by="ann")
        await platform.wait_rollout(Phase.PROGRESSING, timeout=60)
        await platform.obeyed("promote", by="ann")
        await platform.wait_rollout(Phase.PROMOTED, timeout=60)
        await eventually(lambda: platform.drift is not None and platform.drift.child not in (None, first), 90)
        await platform.drift.wait_ready(90)


async def test_a_killed_sidecar_is_restarted_on_its_port(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1)
    async with Platform(home, msgspec.structs.replace(QUICK, retrain=RUN)) as platform:
        await platform.start()
        assert platform.retrain is not None
        await platform.retrain.wait_ready(90)
        port = platform.retrain.port
        os.kill(platform.processes()["retrain"], signal.SIGKILL)
        await eventually(lambda: not platform.retrain.ready if platform.retrain else False)
        await platform.retrain.wait_ready(90)
        async with httpx.AsyncClient(timeout=60) as client:
            assert (await client.get(f"http://127.0.0.1:{port}/health/ready")).is_success
