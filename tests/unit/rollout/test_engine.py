"""Whole rollouts in a small world, judged by the real evidence."""

from __future__ import annotations

import pytest

from serinus.evidence import Guard
from serving.rollout.engine import Engine
from serving.rollout.ports import Health
from serving.rollout.spec import Approval, Step
from serving.rollout.status import Phase, RolloutStatus, Routes, decode, encode

from .world import World, small_spec

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def played(world: World, ticks: int = 300) -> RolloutStatus:
    await world.begin()
    return await world.play(ticks)


async def test_a_good_candidate_is_stepped_up_and_promoted() -> None:
    world = World(errors={"v1": 0.01, "v2": 0.01})
    status = await played(world)
    assert status.phase is Phase.PROMOTED
    weights = [(r.canary, r.weight) for r in world.traffic.changes]
    assert weights == [("v2", 10), ("v2", 50), (None, 0)]
    assert world.traffic.live == Routes(stable="v2")
    assert world.predictors.stops == ["v1"]


async def test_a_candidate_that_errs_is_rolled_back_with_its_culprit_and_count() -> None:
    world = World(errors={"v2": 0.2}, lag=2)
    status = await played(world)
    assert status.phase is Phase.ROLLED_BACK
    assert status.culprits == ("errors",)
    assert world.traffic.live == Routes(stable="v1")
    assert world.predictors.stops == ["v2"]
    assert 0 < status.canary_tally.bad == world.metrics.counters["v2"]["errors"].bad[0]
    assert f"{status.canary_tally.bad:.0f} of {status.canary_tally.requests:.0f}" in status.message


async def test_errors_that_both_share_move_nothing() -> None:
    status = await played(World(errors={"v1": 0.2, "v2": 0.2}), ticks=40)
    assert status.phase is not Phase.ROLLED_BACK
    assert not status.culprits


async def test_harm_does_not_send_everyone_to_a_champion_that_is_down() -> None:
    world = World(errors={"v2": 0.3})
    await world.begin()
    await world.play(200, until=Phase.PROGRESSING)
    world.predictors.set("v1", Health(state="crashed", detail="was killed"))
    status = await world.play(60)
    assert (status.phase, status.reason) == (Phase.PROGRESSING, "ChampionNotReady")
    world.predictors.set("v1", Health(state="ready", answering=True))
    assert (await world.play(20)).phase is Phase.ROLLED_BACK


async def test_a_step_with_approval_waits_for_a_second_person() -> None:
    steps = (Step(weight=50, min_requests=20), Step(weight=100, approval=Approval()))
    world = World(spec=small_spec(steps=steps))
    await world.begin()
    assert (await world.play(100, until=Phase.AWAITING_APPROVAL)).phase is Phase.AWAITING_APPROVAL
    world.approve("ann")  # who started it
    assert (await world.play(5)).phase is Phase.AWAITING_APPROVAL
    world.approve("bob")
    assert (await world.play(50)).phase is Phase.PROMOTED


async def test_a_pause_holds_the_weight_and_resume_goes_on() -> None:
    world = World()
    await world.begin()
    await world.play(100, until=Phase.PROGRESSING)
    world.say("pause")
    assert (await world.play(60)).phase is Phase.PAUSED
    assert world.traffic.live.weight == 10
    world.say("resume")
    assert (await world.play(200)).phase is Phase.PROMOTED


async def test_without_traffic_the_rollout_pauses_and_goes_on_when_it_returns() -> None:
    world = World(rate=0.0)
    await world.begin()
    status = await world.play(120)
    assert (status.phase, status.pause) == (Phase.PAUSED, ("no_data",))
    world.rate = 100.0
    assert (await world.play(300)).phase is Phase.PROMOTED


async def test_a_provider_that_fails_for_a_while_neither_passes_nor_fails() -> None:
    world = World()
    await world.begin()
    await world.play(100, until=Phase.PROGRESSING)
    world.metrics.failing = "connection refused"
    status = await world.play(30)
    assert (status.phase, status.reason, status.step) == (Phase.PROGRESSING, "ProviderError", 0)
    condition = status.condition("DataAvailable")
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "ProviderError")
    world.metrics.failing = None
    assert (await world.play(300)).phase is Phase.PROMOTED


async def test_a_proxy_that_cannot_be_read_back_ends_nothing() -> None:
    world = World(errors={"v2": 0.3})
    await world.begin()
    await world.play(100, until=Phase.PROGRESSING)
    world.traffic.blind = True
    status = await world.play(100)
    assert status.phase is Phase.ROLLING_BACK
    world.traffic.blind = False
    assert (await world.play(10)).phase is Phase.ROLLED_BACK


async def test_the_engine_outlives_a_port_that_raises() -> None:
    world = World()
    await world.begin()
    broken = 3

    async def sometimes(routes: Routes) -> None:
        nonlocal broken
        broken -= 1
        if broken >= 0:
            raise OSError("disk full")
        world.traffic.live = routes
        world.traffic.changes.append(routes)

    world.traffic.apply = sometimes
    engine = Engine(world.spec, world.ports)
    sleep = world.clock.sleep

    async def flowing(seconds: float) -> None:
        world.flow(seconds)

    world.clock.sleep = flowing
    assert (await engine.run()).phase is Phase.PROMOTED
    assert sleep is not world.clock.sleep


async def test_a_status_survives_the_round_trip_at_every_look() -> None:
    world = World(errors={"v2": 0.2})
    await world.begin()
    for _ in range(40):
        status = await world.play(1)
        assert decode(encode(status)) == status


async def test_a_candidate_that_fails_after_its_promotion_makes_way_within_the_window() -> None:
    slo = Guard(name="errors", metric="errors", margin_absolute=0.05, slo=0.05)
    steps = (Step(weight=50, min_requests=20),)
    world = World(spec=small_spec(steps=steps, guards=(slo,), rollback_window="10m"))
    await world.begin()
    assert (await world.play(100, until=Phase.PROMOTED)).phase is Phase.PROMOTED
    assert "v1" in world.predictors.states  # stands by
    world.errors["v2"] = 0.5
    status = await world.play(100)
    assert (status.phase, world.traffic.live) == (Phase.ROLLED_BACK, Routes(stable="v1"))
    assert world.predictors.stops == ["v2"]
