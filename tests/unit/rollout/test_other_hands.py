"""What served was deleted, or someone else keeps changing the routes."""

from __future__ import annotations

import pytest

from serving.rollout.spec import Step
from serving.rollout.status import Phase, Routes

from .world import World, small_spec

pytestmark = pytest.mark.anyio

LONG = small_spec(steps=(Step(weight=10, min_requests=10**6),))


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.PROGRESSING, Phase.PAUSED, Phase.ROLLING_BACK])
async def test_without_a_target_the_rollout_has_failed_and_nothing_is_moved(phase: Phase) -> None:
    world = World(LONG)
    await world.begin()
    if phase is Phase.STARTING:
        world.predictors.warmup = 100
    await world.play(6, until=phase if phase is Phase.STARTING else None)
    if phase in (Phase.PAUSED, Phase.ROLLING_BACK):
        world.traffic.lag = 5
        world.say("pause" if phase is Phase.PAUSED else "abort")
        await world.play(1)
    before = list(world.traffic.changes)
    world.traffic.gone = True
    status = await world.play(3)
    assert (status.phase, status.reason, status.ended) == (Phase.FAILED, "TargetGone", True)
    assert world.traffic.changes == before


async def test_a_promoted_candidate_whose_target_is_deleted_was_promoted() -> None:
    world = World(small_spec(rollback_window="1h"))
    await world.begin()
    await world.play(60, until=Phase.PROMOTED)
    world.traffic.gone = True
    status = await world.play(2)
    assert (status.phase, status.ended) == (Phase.PROMOTED, True)
    assert "TargetGone" in world.journal.reasons


async def test_routes_changed_by_another_hand_are_set_back_but_not_for_ever() -> None:
    world = World(LONG)
    await world.begin()
    await world.play(6)
    changed = 0
    while world.traffic.live.canary and changed < 20:
        world.traffic.live = Routes(stable="v1", canary="v2", weight=90)
        changed += 1
        status = await world.play(3)
        if changed < 5:
            assert world.traffic.live == Routes(stable="v1", canary="v2", weight=10)
            assert status.phase is Phase.PROGRESSING
    assert (changed, world.journal.reasons.count("RoutesChanged")) == (5, 5)
    assert "RoutesContested" in world.journal.reasons
    assert world.traffic.live == Routes(stable="v1")
