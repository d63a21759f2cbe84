"""While a program of ours is up, a lineage backend is told of each stage that a version enters: what it missed too."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from serinus.lineage.backend import configured
from serinus.registry import Registry
from serinus.retelling import lineage_keeper
from tests.support.bundles import small_bundle, small_home
from tests.support.openlineage_server import Receiver, receiving

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def stages(receiver: Receiver) -> list[str]:
    found = [body for body in receiver.bodies if body["eventType"] == "COMPLETE"]
    return [body["outputs"][0]["name"] for body in found]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(200):
        while not holds():
            await asyncio.sleep(0.05)


async def test_it_is_told_of_each_stage_once_and_of_what_it_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = small_home(tmp_path)
    registry = Registry(home)
    registry.register(small_bundle(tmp_path), by="ann", owner="cards", run="r")
    with receiving() as receiver:
        monkeypatch.setenv("OPENLINEAGE_URL", receiver.url)
        receiver.answer = 503
        keeper = lineage_keeper(home, os.environ, every=0.2, longest=0.5)
        await keeper.start()
        try:
            await until(receiver.asked.is_set)
            assert receiver.bodies == []
            receiver.answer = 201
            registry.set_stage("small", 1, "champion", by="bob", reason="first")
            await until(lambda: len(stages(receiver)) >= 2)
        finally:
            await keeper.stop()
        assert stages(receiver) == ["small.validated", "small.champion"]
        runs = [body["run"]["runId"] for body in receiver.bodies if body["eventType"] == "COMPLETE"]
        assert len(set(runs)) == 2


async def test_where_no_backend_is_named_nothing_runs(tmp_path: Path) -> None:
    assert configured({}, tmp_path) == ""
    keeper = lineage_keeper(small_home(tmp_path), {})
    await keeper.start()
    assert keeper._task is None
