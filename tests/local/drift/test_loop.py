"""From a shift in the stream to one retraining run: with Prometheus and Alertmanager, and without."""

import asyncio
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from serinus.audit import AuditLog
from serving.local import monitoring
from tests.local.drift.support import Logger, Program, need, until
from tests.support.bundles import small_bundle, small_home, small_records

pytestmark = pytest.mark.local
LOOK = ("--look", "300ms")


def command(marks: Path) -> str:
    """A pipeline that leaves a mark and says which version it built."""
    script = (
        "import json,sys; open(sys.argv[1],'a').write(sys.argv[2]+'\\n'); print(json.dumps(dict(version=2)))"
    )
    return f'{sys.executable} -c "{script}" {marks} "{{model}}: {{reason}}"'


def shifted(seed: int) -> list[dict[str, Any]]:
    return [{**row, "amount": row["amount"] * 3} for row in small_records(500, seed=seed)]


def surge(seed: int) -> list[dict[str, Any]]:
    rows = small_records(500, seed=seed)
    return [
        {**row, "days_since_last": None if i % 2 else row["days_since_last"]} for i, row in enumerate(rows)
    ]


def a_look(logger: Logger, sidecar: Program, rows: list[dict[str, Any]]) -> None:
    """Sends rows and waits until they were judged."""
    before = sidecar.status()["rows"].get("champion", 0)
    logger.request(rows)
    until(lambda: sidecar.status()["rows"].get("champion", 0) == before + len(rows), why="a look is judged")


def finished(receiver: Program) -> list[Any]:
    return [run for run in receiver.status()["runs"] if run["outcome"] != "running"]


def test_the_monitor_calls_the_receiver_itself_where_there_is_no_prometheus(tmp_path: Path) -> None:
    bundle, home, marks = small_bundle(tmp_path), small_home(tmp_path), tmp_path / "marks"
    receiver_flags = ("--home", str(home.root), "--command", command(marks))
    with Program("serving.retrain", *receiver_flags, log=tmp_path / "retrain.log") as receiver:
        flags = ("--bundle", str(bundle.path), "--home", str(home.root), *LOOK, "--alert-url")
        url = f"http://{receiver.address}/api/v1/alerts"
        with Program("serving.drift", *flags, url, log=tmp_path / "drift.log") as sidecar:
            logger = Logger(sidecar)
            logger.request(surge(40))
            until(lambda: receiver.status()["outcomes"]["ignored"] == 1, why="bad data reach the receiver")
            assert receiver.status()["runs"] == []
            for seed in (51, 52):
                a_look(logger, sidecar, shifted(seed))
            run = until(lambda: finished(receiver))[0]
            assert (run["outcome"], run["result"]) == ("succeeded", {"version": 2})
            a_look(logger, sidecar, shifted(53))
        assert receiver.stop() == 0
    assert marks.read_text().splitlines() == [
        "small: alert SerinusFeatureDrift on small: The features of small drift: amount"
    ]
    entries = [entry.action for entry in AuditLog(home.audit).entries()]
    assert entries == ["retrain.started", "retrain.succeeded"]


def test_prometheus_scrapes_alertmanager_alerts_and_one_run_starts(tmp_path: Path) -> None:
    tools = monitoring.find_prometheus()
    need(tools is not None, "prometheus and prometheus-alertmanager")
    assert tools is not None
    asyncio.run(_loop(tmp_path, tools))


async def _loop(tmp_path: Path, tools: monitoring.Tools) -> None:
    bundle, home, marks = small_bundle(tmp_path), small_home(tmp_path), tmp_path / "marks"
    receiver_flags = ("--home", str(home.root), "--command", command(marks))
    drift_flags = ("--bundle", str(bundle.path), "--home", str(home.root), *LOOK)
    with (
        Program("serving.retrain", *receiver_flags, log=tmp_path / "retrain.log") as receiver,
        Program("serving.drift", *drift_flags, log=tmp_path / "drift.log") as sidecar,
    ):
        targets = [
            monitoring.Target("drift", sidecar.address),
            monitoring.Target("retrain", receiver.address),
        ]
        running = await monitoring.start(
            tools,
            home.platform / "prometheus",
            targets,
            f"http://{receiver.address}/api/v1/alerts",
            mark={"SERINUS_PLATFORM": "test"},
        )
        try:
            await asyncio.to_thread(_story, running, receiver, sidecar)
        finally:
            await running.stop()
    assert len(marks.read_text().splitlines()) == 1


def _story(running: monitoring.Monitoring, receiver: Program, sidecar: Program) -> None:
    logger = Logger(sidecar)
    logger.request(surge(50))
    until(lambda: "SerinusDataQuality" in _firing(running), why="bad data fire their alert")
    began = time.monotonic()
    for seed in (71, 72):
        a_look(logger, sidecar, shifted(seed))
    until(lambda: "SerinusFeatureDrift" in _firing(running), why="drift fires its alert")
    alerted = time.monotonic()
    run = until(lambda: finished(receiver), why="the run ended")[0]
    ended = time.monotonic()
    assert (run["outcome"], run["model"]) == ("succeeded", "small")
    print(f"shift to alert {alerted - began:.1f} s, alert to end of run {ended - alerted:.1f} s")
    a_look(logger, sidecar, shifted(73))
    told = receiver.status()
    assert len(told["runs"]) == 1
    # By the way by which drift was heard of meanwhile.
    assert told["outcomes"]["ignored"] == 0, "bad data are not even routed to the receiver"


def _firing(running: monitoring.Monitoring) -> set[str]:
    import urllib.request

    with urllib.request.urlopen(f"{running.prometheus_url}/api/v1/alerts", timeout=60) as answer:
        alerts = json.load(answer)["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


def test_the_tools_are_found_where_they_are_installed() -> None:
    found = monitoring.find_prometheus()
    assert (found is not None) == bool(
        shutil.which("prometheus")
        and (shutil.which("prometheus-alertmanager") or shutil.which("alertmanager"))
    )
