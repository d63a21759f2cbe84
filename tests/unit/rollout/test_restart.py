"""Killed between any two port calls, a new engine goes on to the same end and acts once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any

import anyio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.rollout.engine import Engine, Ports
from serving.rollout.spec import Approval, Step

from .world import World, small_spec


class Killed(BaseException):
    """The process is gone: nothing of the engine may catch this."""


class Fate:
    """Kills at the chosen calls: before the call takes effect, or after."""

    def __init__(self, kills: set[tuple[int, bool]]) -> None:
        self.kills = kills
        self.calls = 0

    def wrap(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def mortal(*args: Any) -> Any:
            self.calls += 1
            number = self.calls
            if (number, False) in self.kills:
                raise Killed
            result = await call(*args)
            if (number, True) in self.kills:
                raise Killed
            return result

        return mortal


class Mortal:
    """A port whose every call may be the last."""

    def __init__(self, port: Any, fate: Fate) -> None:
        self._port = port
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        return found if name == "now" else self._fate.wrap(found)


def mortal_ports(world: World, fate: Fate) -> Ports:
    alive = world.ports
    mortal: dict[str, Any] = {f.name: Mortal(getattr(alive, f.name), fate) for f in fields(alive)}
    return Ports(**mortal)


def good(world: World) -> None:
    """Nothing happens."""


def crashing(world: World) -> None:
    if world.served() >= 20:
        world.predictors.crash("v2")


def aborted(world: World) -> None:
    if world.served() >= 20 and not world.inbox.queue:
        world.say("abort")


def approved(world: World) -> None:
    if "ApprovalNeeded" in world.journal.reasons and not world.approvals.records:
        world.approve("bob")


APPROVAL = small_spec(steps=(Step(weight=20, min_requests=20), Step(weight=100, approval=Approval())))
STORIES: dict[str, tuple[Callable[[], World], Callable[[World], None]]] = {
    "good": (lambda: World(lag=1), good),
    "erring": (lambda: World(errors={"v2": 0.3}, lag=2), good),
    "crashing": (World, crashing),
    "aborted": (World, aborted),
    "approved": (lambda: World(spec=APPROVAL), approved),
}


async def play(story: str, kills: set[tuple[int, bool]]) -> tuple[World, int]:
    make, happens = STORIES[story]
    world = make()
    await world.begin()
    fate = Fate(kills)
    engine = Engine(world.spec, mortal_ports(world, fate))
    looks = 0
    while looks < 120:
        try:
            status = await engine.tick()
        except Killed:
            engine = Engine(world.spec, mortal_ports(world, fate))  # all that is left is the store
            continue
        if status.ended:
            break
        looks += 1
        happens(world)
        world.flow(1.0)
    return world, fate.calls


def outcome(world: World) -> dict[str, Any]:
    assert world.store.data is not None
    return {
        "routes": world.traffic.changes,
        "starts": world.predictors.starts,
        "stops": world.predictors.stops,
        "told": world.journal.reasons,
        "numbers": sorted(world.journal.entries),
    }


EXPECTED = {story: outcome(anyio.run(play, story, set())[0]) for story in STORIES}
CALLS = {story: anyio.run(play, story, set())[1] for story in STORIES}


def test_the_stories_end_as_they_should_when_nobody_is_killed() -> None:
    assert {story: told["told"][-1] for story, told in EXPECTED.items()} == {
        "good": "Promoted",
        "erring": "RolledBack",
        "crashing": "RolledBack",
        "aborted": "Aborted",
        "approved": "Promoted",
    }


@settings(max_examples=150, deadline=None)
@given(
    story=st.sampled_from(sorted(STORIES)),
    kills=st.sets(st.tuples(st.integers(1, max(CALLS.values())), st.booleans()), min_size=1, max_size=4),
)
@example(story="erring", kills={(60, True), (61, False), (62, True)})
def test_a_killed_engine_goes_on_to_the_same_end_and_acts_once(
    story: str, kills: set[tuple[int, bool]]
) -> None:
    assert outcome(anyio.run(play, story, kills)[0]) == EXPECTED[story]


def test_one_kill_at_each_single_call_of_a_rollback() -> None:
    for number in range(1, CALLS["crashing"] + 1):
        for after in (False, True):
            assert outcome(anyio.run(play, "crashing", {(number, after)})[0]) == EXPECTED["crashing"]
