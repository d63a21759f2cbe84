"""The alerts in a real Prometheus and Alertmanager, scraping the real programs; and the dashboards' queries there."""

from __future__ import annotations

import asyncio
import random
import shlex
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from serinus.registry import Registry
from serinus.review import ReviewDesk
from serving.local import monitoring, scraping
from serving.local.platform import Platform, Settings
from serving.rollout.spec import default_guards
from serving.rollout.status import Phase
from serving.watch.boards import BOARDS
from serving.watch.grafana import document, queries
from tests.local.drift.support import Logger, need
from tests.local.platform.support import MODEL, PATIENT, eventually, installation, load, spec_for
from tests.local.watch.support import ask, filled, firing, shortened, told
from tests.support.bundles import small_records

pytestmark = [pytest.mark.anyio, pytest.mark.local, pytest.mark.timeout(900)]

EITHER = (sys.executable, str(Path(__file__).with_name("either.py")))
SETTINGS = Settings(
    interval=0.3,
    timeout=PATIENT,
    scorer_command=EITHER,
    drift=True,
    drift_window=200,
    drift_flags=("--detector", "numpy", "--look", "500ms", "--max-age", "2m", "--alert-url", ""),
    outcomes=True,
    outcomes_flags=("--read-every", "300ms", "--look-every", "500ms", "--grace", "0s", "--min-rows", "50",
                    "--floor", "precision=0.95"),
    retrain=f"{shlex.quote(sys.executable)} -c pass",
)  # fmt: skip


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def send(client: httpx.AsyncClient, url: str, rows: list[dict[str, Any]], label: float | None) -> None:
    """Score rows; where a share of bad outcomes is given, send each one's outcome too."""
    chance = random.Random(1)
    for row in rows:
        answer = await client.post(f"{url}/api/v1.0/predictions", json={"jsonData": {"rows": [row]}})
        assert answer.status_code == 200, answer.text
        if label is None:
            continue
        truth = {"data": {"ndarray": [[int(chance.random() < label)]]}}
        body = {"response": {"meta": {"puid": answer.headers["seldon-puid"]}}, "truth": truth}
        sent = await client.post(f"{url}/api/v1.0/feedback", json=body)
        assert sent.status_code == 200, sent.text


def returns_data(running: Any, query: str) -> bool:
    """Whether a series of the answer is a number."""
    return any(series["value"][1] != "NaN" for series in ask(running, "query", query=query)["result"])


def beside(port: int, predictors: tuple[str, ...]) -> None:
    """Payloads of several predictors at once, as their loggers send them, for as long as ten looks take."""
    loggers = [Logger(port, predictor) for predictor in predictors]
    for seed in range(20):
        for k, logger in enumerate(loggers):
            logger.request(small_records(150, seed=1000 + 100 * k + seed))
        threading.Event().wait(0.25)


async def test_alerts_fire_and_stay_silent_on_the_real_programs(tmp_path: Path) -> None:
    tools = monitoring.find_prometheus()
    need(tools is not None, "prometheus and prometheus-alertmanager")
    assert tools is not None
    home, _ = installation(tmp_path / "home", 1, 3)
    async with Platform(home, SETTINGS) as platform, httpx.AsyncClient(timeout=60.0) as client:
        await platform.start()
        for sidecar in platform.sidecars():
            await sidecar.wait_ready(90.0)
        assert platform.retrain is not None
        running = await monitoring.start(
            tools,
            tmp_path / "prometheus",
            scraping.targets(platform),
            f"{platform.retrain.url}/api/v1/alerts",
            mark=platform.mark,
            rules=shortened(tmp_path / "rules"),
            timeout=90.0,
        )
        try:
            await _story(platform, client, running)
        finally:
            await running.stop()


async def _story(platform: Platform, client: httpx.AsyncClient, running: monitoring.Monitoring) -> None:
    async def fires(*names: str) -> None:
        try:
            await eventually(lambda: set(names) <= firing(running), 90)
        except AssertionError as error:
            raise AssertionError(f"{names} expected, {firing(running)} fire") from error

    async def heard(name: str, receiver: str) -> None:
        # Alertmanager is sent an alert a moment after Prometheus fires it.
        await eventually(lambda: told(running).get(name) == {receiver}, 90)

    # Clean traffic, seen by all programs: nothing fires.
    await send(client, platform.url, small_records(450, seed=3), None)
    await eventually(lambda: ask(running, "query", query="serinus_drift_active")["result"], 90)
    assert {name for name in firing(running) if "Latency" not in name} == set()  # those tell of this machine

    # A canary that errs on a third of its requests, where nothing guards against errors.
    under_load = asyncio.create_task(load(platform.url, 80).run())
    latency = tuple(guard for guard in default_guards() if guard.name == "latency")
    await platform.start_rollout(spec_for(3, guards=latency), by="ann")
    await platform.wait_rollout(Phase.PROGRESSING, timeout=90)
    running.set_targets(scraping.targets(platform))
    await fires("SerinusErrorBudgetBurnFast", "SerinusCanaryErrors")
    await platform.obeyed("abort", by="ann")
    await platform.wait_rollout(Phase.ABORTED, timeout=90)
    await eventually(lambda: platform.rollout_status().ended)
    ended = 'serinus_rollouts_ended_total{result="aborted"} > 0'
    await eventually(lambda: ask(running, "query", query=ended)["result"], 90)
    assert "SerinusCanaryRolledBack" not in firing(running)

    # Where errors are guarded against it is taken back, and people hear of it.
    await platform.start_rollout(spec_for(3), by="ann")
    await platform.wait_rollout(Phase.ROLLED_BACK, timeout=90)
    await fires("SerinusCanaryRolledBack")
    await heard("SerinusCanaryRolledBack", "people")
    under_load.cancel()

    # Labels that say that most declines were wrong.
    await send(client, platform.url, small_records(300, seed=4), 0.1)
    await fires("SerinusPrecisionLow")

    # Another predictor, which is sent what the champion is sent: compared at the same hour, and no alert.
    assert platform.champion is not None
    assert platform.drift is not None
    await asyncio.to_thread(beside, platform.drift.port, (platform.champion.name, "shadow"))
    await eventually(lambda: ask(running, "query", query="serinus_drift_pair_psi")["result"], 90)
    assert "SerinusPredictorsDiffer" not in firing(running)

    # Inflated amounts are drift; missing values are bad data, and hold drift back.
    await send(
        client, platform.url, [{**r, "amount": r["amount"] * 3} for r in small_records(400, seed=5)], None
    )
    await fires("SerinusFeatureDrift")
    await heard("SerinusFeatureDrift", "retrain")

    # People answer two cases that were referred to them; somebody breaks the glass, which is told at once.
    desk = ReviewDesk(platform.home)
    for case in await asyncio.to_thread(desk.waiting):
        if case.answered_at is None and len(desk.queue.answered()) < 2:
            await asyncio.to_thread(desk.answer, case.id, "good", by="rita", reason="called the customer")
    assert "SerinusApprovalOverridden" not in firing(running)
    why = "The approver is in hospital and fraud runs at 40 k an hour; reviewed by phone."
    Registry(platform.home).approve(MODEL, 1, by="pat", role="breakglass", reason=why)
    await fires("SerinusApprovalOverridden")

    # A ratio is a number only while somebody asks.
    under_load = asyncio.create_task(load(platform.url, 40).run())
    for board in BOARDS:
        for query in queries(document(board)):
            # A rate needs two scrapes of its window, which a busy machine may owe for a moment.
            await eventually(partial(returns_data, running, filled(query)), 90)
    under_load.cancel()

    half = [{**r, "days_since_last": None} if i % 2 else r for i, r in enumerate(small_records(600, seed=6))]
    await send(client, platform.url, half, None)
    await fires("SerinusDataQuality")
    await eventually(lambda: "SerinusFeatureDrift" not in firing(running), 90)
