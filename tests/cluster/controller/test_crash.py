"""Killed after any call to the API server, a new controller goes on to the same end, and acts once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from serinus.kube.api import Object
from serving.rollout.kube.names import COMMAND, ROLLOUT
from tests.support.apiserver import ApiServer

from .server import Replica, staged
from .stage import CANDIDATE, CHAMPION, PATIENCE, Stage, rollout

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(900)]

AT_ONCE = 4


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Mortal(httpx.AsyncHTTPTransport):
    """The process dies once its n-th call was carried out, and never hears the answer."""

    def __init__(self, last: int) -> None:
        super().__init__(verify=False)
        self.last = last
        self.calls: list[str] = []
        self.dead = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._unless_dead()
        self.calls.append(f"{request.method} {request.url.path}")
        mine = len(self.calls)
        answer = await super().handle_async_request(request)
        if mine >= self.last:
            self.dead.set()
            await answer.aclose()
        await self._unless_dead()
        return answer

    async def _unless_dead(self) -> None:
        if self.dead.is_set():
            await asyncio.Event().wait()  # nothing that follows ever happens


async def live(server: ApiServer, story: Story, last: int) -> tuple[list[str], Stage, Object, list[Object]]:
    """Play a story whose first controller dies at its ``last``-th call; the second one is spared."""
    async with staged(server) as stage:
        story.prepare(stage)
        made = rollout(startedBy="admin", **story.spec)
        await stage.put(ROLLOUT, made)
        playing = asyncio.create_task(story.play(stage))
        mortal = Mortal(last)
        first = Replica(server, stage, transport=mortal)
        starting = asyncio.create_task(first.start())
        ending = asyncio.create_task(stage.ended())
        dying = asyncio.create_task(mortal.dead.wait())
        await asyncio.wait({ending, dying}, return_when=asyncio.FIRST_COMPLETED)
        mortal.dead.set()
        starting.cancel()
        await first.stop()
        second = Replica(server, stage)
        await second.start()
        try:
            status = await ending
            # What is told at the very end may follow the status.
            await stage.until(lambda s: s.get("told") == s["history"][-1]["seq"])
            await asyncio.gather(playing)
            await stage.becomes(story.live)
        finally:
            dying.cancel()
            await second.stop()
        return mortal.calls, stage, status, await stage.events()


class Story:
    def __init__(
        self,
        phase: str,
        live: dict[str, int],
        splits: list[dict[str, int]],
        prepare: Callable[[Stage], None] = lambda stage: None,
        play: Callable[[Stage], Awaitable[Any]] | None = None,
        **spec: Any,
    ) -> None:
        self.phase = phase
        self.live = live
        self.splits = splits
        self.prepare = prepare
        self.spec = spec
        self._play = play

    async def play(self, stage: Stage) -> None:
        if self._play is not None:
            await self._play(stage)


def bad(stage: Stage) -> None:
    stage.errors[CANDIDATE] = 0.5


async def abort(stage: Stage) -> None:
    async with asyncio.timeout(PATIENCE):
        while stage.splits[-1].get(CANDIDATE) != 10:
            await asyncio.sleep(0.03)
    words = {"rollout": "fraud-4", "by": "admin", "command": "abort", "reason": "wrong data"}
    await stage.put(COMMAND, {"metadata": {"name": "end"}, "spec": words})


START = [{CHAMPION: 100}, {CHAMPION: 100, CANDIDATE: 0}, {CHAMPION: 90, CANDIDATE: 10}]
STORIES = {
    "promoted": Story(
        "Promoted",
        {CANDIDATE: 100},
        [
            *START,
            {CHAMPION: 50, CANDIDATE: 50},
            {CHAMPION: 0, CANDIDATE: 100},
            {CANDIDATE: 100},
        ],
    ),
    "rolled back": Story(
        "RolledBack",
        {CHAMPION: 100},
        [*START, {CHAMPION: 100, CANDIDATE: 0}, {CHAMPION: 100}],
        prepare=bad,
        steps=[{"weight": 10, "minRequests": 10**6}],
    ),
    "aborted": Story(
        "Aborted",
        {CHAMPION: 100},
        [*START, {CHAMPION: 100, CANDIDATE: 0}, {CHAMPION: 100}],
        play=abort,
        steps=[{"weight": 10, "minRequests": 10**6}],
    ),
}


@pytest.mark.parametrize("name", STORIES)
async def test_killed_at_any_call_it_goes_on_to_the_same_end_and_acts_once(
    server: ApiServer, name: str
) -> None:
    story = STORIES[name]
    reached = 0
    n = 1
    alive = False
    while not alive:
        lives = await asyncio.gather(*(live(server, story, n + i) for i in range(AT_ONCE)))
        for i, (calls, stage, status, events) in enumerate(lives):
            last = f"killed after call {n + i}, {calls[-1]}"
            assert status["phase"] == story.phase, last
            assert stage.splits == story.splits, last
            said = Counter(e["metadata"]["name"] for e in events)
            assert max(said.values()) == 1, last
            told = [
                e["reason"] for e in sorted(events, key=lambda e: int(e["metadata"]["name"].split(".")[-1]))
            ]
            assert told == [entry["reason"] for entry in status["history"]], last
            reached = max(reached, len(calls))
            alive = alive or len(calls) < n + i
        n += AT_ONCE
    assert reached > 25  # it was killed at as many calls, and once not at all
