"""Late labels through the real programs: scorer, feedback, the join, and a rollout that they end."""

import random
from pathlib import Path

import httpx
import msgspec
import pytest

from serinus.evidence import Guard
from serving.local.platform import Platform
from serving.rollout.adapters.scrape import rows
from serving.rollout.spec import RolloutSpec, Step
from serving.rollout.status import Phase
from tests.local.platform.support import MODEL, REAL, eventually, installation
from tests.support.bundles import small_records

pytestmark = [pytest.mark.anyio, pytest.mark.local]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def ask(client: httpx.AsyncClient, url: str, count: int, wrong_by: str | None, seed: int = 1) -> None:
    """Score rows and send each one's outcome: right by the decision, but for one predictor."""
    chance = random.Random(seed)
    for record in small_records(count):
        answer = await client.post(f"{url}/api/v1.0/predictions", json={"jsonData": {"rows": [record]}})
        assert answer.status_code == 200, answer.text
        predictor, puid = answer.headers["x-serinus-predictor"], answer.headers["seldon-puid"]
        bad = predictor == wrong_by or chance.random() < 0.03
        sent = await client.post(
            f"{url}/api/v1.0/feedback",
            json={"response": {"meta": {"puid": puid}}, "truth": {"data": {"ndarray": [[int(bad)]]}}},
        )
        assert sent.status_code == 200, sent.text


async def test_a_canary_whose_approvals_turn_out_bad_is_rolled_back_by_its_labels(tmp_path: Path) -> None:
    home, _ = installation(tmp_path, 1, 2)
    flags = ("--read-every", "200ms", "--look-every", "300ms", "--grace", "0s")
    settings = msgspec.structs.replace(REAL, outcomes=True, outcomes_flags=flags)
    guard = Guard(name="missed", metric="missed", side="higher", margin_ratio=1.5, margin_absolute=0.05)
    spec = RolloutSpec(
        model=MODEL, candidate="2", guards=(guard,), steps=(Step(weight=50, min_requests=100_000),)
    )
    async with Platform(home, settings) as platform, httpx.AsyncClient(timeout=60.0) as client:
        await platform.start()
        assert platform.outcomes is not None
        await platform.outcomes.wait_ready(90.0)
        await platform.start_rollout(spec, by="ann")
        await platform.wait_rollout(Phase.PROGRESSING, timeout=60)
        await eventually(lambda: platform.rollout_status().in_place)
        for seed in range(8):
            await ask(client, platform.url, 60, wrong_by="v2", seed=seed)
            if platform.rollout_status().ended:
                break
        ended = await platform.wait_rollout(Phase.ROLLED_BACK, timeout=60)
        assert "missed" in msgspec.json.encode(ended).decode()
        page = (await client.get(f"{platform.outcomes.url}/metrics")).text
        told = {
            (labels["predictor"], labels["decision"], labels["outcome"]): value
            for name, labels, value in rows(page)
            if name == "serinus_outcomes_total"
        }
        assert told["v2", "approve", "bad"] > 10
        assert told["v1", "approve", "good"] > told["v1", "approve", "bad"]
