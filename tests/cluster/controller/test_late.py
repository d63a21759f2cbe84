"""A version that a pipeline sends after a controller has promoted it, by a real API server, HTTP and the programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from serinus.home import Home
from serinus.registry import Registry
from serving.rollout.kube.names import ROLLOUT
from tests.support.apiserver import ApiServer
from tests.support.registrations import registration, trusting

from .server import controlled
from .stage import PATIENCE
from .test_records import Program, allow, candidate, entries, recorded, verified

pytestmark = pytest.mark.anyio

TOKEN = "0123456789abcdef0123456789abcdef"


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


async def test_a_version_that_comes_after_its_promotion_is_champion_all_the_same(
    server: ApiServer, tmp_path: Path
) -> None:
    builder = Home(tmp_path / "builder")
    told = registration(builder)
    home, digest = trusting(tmp_path / "keeper", builder), told.manifest.digest()
    (tmp_path / "token").write_text(TOKEN)
    async with controlled(server) as stage:
        await allow(stage)
        program = Program(server, stage, home, "--token-file", str(tmp_path / "token"))
        await stage.put(ROLLOUT, candidate(digest))
        assert (await stage.ended())["phase"] == "Promoted"
        await recorded(home, "rollout-Promoted")
        assert Registry(home).models() == []
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
            for status in (201, 200):
                answer = await client.post(
                    f"{program.url}/v1/versions",
                    content=msgspec.json.encode(told),
                    headers={"Authorization": f"Bearer {TOKEN}"},
                )
                assert answer.status_code == status
                await recorded(home, "rollouts-caught-up")
        assert [v.stage for v in Registry(home).versions("small")] == ["champion"]
        history = [turn.stage for turn in Registry(home).history("small", 1)]
        assert history == ["validated", "canary", "champion"]
        assert program.end() == 0
        again = Program(server, stage, home)
        await again.ready()
        assert again.end() == 0
        found = [entry for entry in entries(home) if entry.action == "rollouts-caught-up"]
        assert [(e.subject, e.details["rollouts"]) for e in found] == [
            ("small/1", [f"{stage.namespace}/fraud-4"])
        ]
    verified(home)
