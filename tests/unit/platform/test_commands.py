"""A command is done when the engine has taken it up, and only then."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from serinus.errors import SerinusError
from serinus.home import Home
from serving.local.desk import RolloutDesk
from serving.local.rollouts import CommandQueue
from serving.rollout.engine import new_status
from serving.rollout.spec import RolloutSpec
from serving.rollout.status import Entry, Phase

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Obedient(CommandQueue):
    """An engine in a word: it takes up what is put, at once."""

    def __init__(self, rollout: Any, refusal: str) -> None:
        super().__init__()
        self._rollout = rollout
        self._refusal = refusal

    def put(self, command: Any) -> None:
        super().put(command)
        what = f"{command.kind} by {command.by}"
        reason = "CommandRefused" if self._refusal else "PausedByUser"
        message = f"{what} refused: {self._refusal}" if self._refusal else what
        entry = Entry(
            seq=1, at=0.0, phase="Paused", reason=reason, message=message, actor=command.by, weight=5
        )
        status = self._rollout.status
        self._rollout.status = replace(
            status, handled=(command.id,), history=(entry,), phase=Phase.PAUSED, pause=("user",)
        )


def desk(tmp_path: Path, *, obeys: bool, refusal: str = "") -> RolloutDesk:
    spec = RolloutSpec(model="small", candidate="2")
    status = new_status(spec, name="r", champion="v1", candidate="v2", by="ann", now=0.0)
    rollout: Any = SimpleNamespace(
        status=status,
        record=SimpleNamespace(candidate=SimpleNamespace(model="small", version=2)),
        changed=asyncio.Event(),
        directory=tmp_path / "r",
    )
    rollout.inbox = Obedient(rollout, refusal) if obeys else CommandQueue()
    made = RolloutDesk(Home(tmp_path), cast(Any, None), cast(Any, None), interval=1.0)
    made.rollout = rollout
    return made


async def test_a_command_that_nobody_took_up_is_no_success(tmp_path: Path) -> None:
    platform = desk(tmp_path, obeys=False)
    with pytest.raises(SerinusError, match="SRN-ROLLOUT-006.*not taken up the pause within 0 s") as error:
        await platform.obeyed("pause", by="pat", timeout=0.0)
    assert "stays asked for" in error.value.hint


async def test_a_command_that_was_obeyed_gives_what_came_of_it(tmp_path: Path) -> None:
    status = await desk(tmp_path, obeys=True).obeyed("pause", by="pat", timeout=0.0)
    assert status.phase is Phase.PAUSED


async def test_a_refused_command_gives_the_engines_reason(tmp_path: Path) -> None:
    with pytest.raises(SerinusError, match="SRN-ROLLOUT-008.*is Starting"):
        await desk(tmp_path, obeys=True, refusal="the rollout is Starting").obeyed(
            "pause", by="pat", timeout=0.0
        )


async def test_a_rollout_that_ended_meanwhile_refuses(tmp_path: Path) -> None:
    platform = desk(tmp_path, obeys=False)
    assert platform.rollout is not None
    rollout: Any = platform.rollout
    put = rollout.inbox.put

    def ending(command: Any) -> None:
        put(command)
        rollout.status = replace(rollout.status, phase=Phase.PROMOTED, old_stopped=True)

    rollout.inbox.put = ending
    with pytest.raises(SerinusError, match="SRN-ROLLOUT-008.*refused: the rollout is Promoted"):
        await platform.obeyed("pause", by="pat", timeout=0.0)
