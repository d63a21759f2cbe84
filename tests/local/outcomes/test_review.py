"""A referred decision through the real programs: scorer, queue, a person's answer, and what the join says of it."""

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from serinus.home import Home
from serving.local.platform import Platform
from serving.rollout.adapters.scrape import rows
from tests.local.platform.support import MODEL, REAL, installation
from tests.support.bundles import small_records
from tests.unit.access.policies import BANK

pytestmark = [pytest.mark.anyio, pytest.mark.local]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def serinus(home: Home, *arguments: str) -> tuple[int, str]:
    """One command from another shell: exit code and what it printed."""
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from serinus.cli.main import run; run()"),
        *arguments,
        env=os.environ | {"SERINUS_HOME": str(home.root)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await done.communicate()
    return done.returncode or 0, (out or err).decode()


async def referred(client: httpx.AsyncClient, url: str) -> dict[str, float]:
    """Ask until several decisions are referred: request id → probability."""
    found: dict[str, float] = {}
    for record in small_records(400):
        answer = (await client.post(f"{url}/v2/models/{MODEL}/infer", json=_v2(record))).json()
        outputs = {output["name"]: output["data"][0] for output in answer["outputs"]}
        if outputs["decision"] == "review":
            found[answer["id"]] = outputs["probability"]
        if len(found) == 3:
            return found
    raise AssertionError("nothing was referred")


def _v2(record: dict[str, object]) -> dict[str, object]:
    inputs = [
        {
            "name": name,
            "shape": [1],
            "datatype": "BYTES" if isinstance(value, str) else "FP64",
            "data": [value],
        }
        for name, value in record.items()
    ]
    return {"inputs": inputs}


async def test_a_persons_answer_reaches_the_audit_log_and_the_labels(tmp_path: Path) -> None:
    home, _ = installation(tmp_path, 1)
    home.policy.write_text(BANK)
    flags = ("--read-every", "200ms", "--look-every", "300ms")
    async with (
        Platform(home, replace(REAL, outcomes=True, outcomes_flags=flags)) as platform,
        httpx.AsyncClient(timeout=60.0) as client,
    ):
        await platform.start()
        assert platform.outcomes is not None
        await platform.outcomes.wait_ready(90.0)
        cases = await referred(client, platform.url)
        # The log is written behind the answer.
        async with asyncio.timeout(90):
            while len(json.loads((await serinus(home, "review", "list", "-o", "json"))[1])) < 3:
                await asyncio.sleep(0.1)

        code, out = await serinus(home, "review", "next", "--as", "ann")
        assert (code, "SRN-ACCESS-005" in out) == (1, True), out
        taken: list[str] = []
        for who in ("rita", "rob"):
            code, out = await serinus(home, "review", "next", "--as", who, "-o", "json")
            assert code == 0, out
            taken.append(json.loads(out)["id"])
        assert len(set(taken)) == 2
        assert set(taken) <= set(cases)
        leaning = "bad" if cases[taken[0]] >= 0.5 else "good"
        against = "good" if leaning == "bad" else "bad"
        said = ("review", "answer", taken[0], "--answer", against, "--reason", "the customer was called")
        code, out = await serinus(home, *said, "--as", "rob")
        assert (code, "SRN-QUEUE-003" in out) == (1, True), out
        code, out = await serinus(home, *said, "--as", "rita")
        assert (code, "against the model's leaning" in out) == (0, True), out

        async def told() -> dict[str, float]:
            page = (await client.get(f"{platform.outcomes.url}/metrics")).text  # type: ignore[union-attr]
            return {name: value for name, labels, value in rows(page) if labels.get("predictor") == "v1"}

        async def answered() -> bool:
            return (await told()).get("serinus_review_override_ratio") == 1.0

        async with asyncio.timeout(90):
            while not await answered():
                await asyncio.sleep(0.1)
        figures = await told()
        assert figures["serinus_review_override_ratio"] == 1.0
        assert figures["serinus_review_waiting"] == 2
        assert figures["serinus_false_positives_saved"] == (1 if leaning == "bad" else 0)
        assert "serinus_cost_per_decision" not in figures, "one settled decision is too few"
    code, out = await serinus(home, "audit", "list", "-o", "json")
    entry = next(entry for entry in json.loads(out) if entry["action"] == "review-answer")
    assert (entry["actor"], entry["details"]["request_id"], entry["details"]["override"]) == (
        "rita",
        taken[0],
        True,
    )
    assert (await serinus(home, "audit", "verify"))[0] == 0
