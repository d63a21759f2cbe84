"""Telling others of the registry: what fails at one look is looked at again."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.retelling import Keeper

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    "failure",
    [SerinusError("SRN-MLFLOW-002", "x", hint="y"), OSError(28, "full"), sqlite3.OperationalError("locked")],
)
async def test_a_failed_look_is_not_the_last(tmp_path: Path, failure: Exception) -> None:
    looks = 0
    again = asyncio.Event()
    loop = asyncio.get_running_loop()

    def due() -> int:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise failure
        loop.call_soon_threadsafe(again.set)
        return 0

    keeper = Keeper(tmp_path, ("registry", "sync"), wanted=lambda: True, due=due, env={}, every=0.0)
    await keeper.start()
    await asyncio.wait_for(again.wait(), 30)
    await keeper.stop()
