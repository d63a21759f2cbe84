"""What served was deleted, or someone else keeps changing the routes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from serving.rollout.account import account
from serving.rollout.spec import Step
from serving.rollout.status import Phase, Routes

from .cases import NOT_YET, NOW, SPLIT, seeing, status_in
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


@pytest.mark.parametrize(
    "phase", [Phase.STARTING, Phase.PROGRESSING, Phase.PAUSED, Phase.PROMOTING, Phase.ROLLING_BACK]
)
def test_an_edit_before_the_routes_were_read_back_is_told_once(phase: Phase) -> None:
    status = status_in(phase, desired=SPLIT, verified=None, verified_at=None, reason="Why", message="why")
    seen = seeing(routes=replace(NOT_YET, edit="generation 7"))
    for look in range(3):
        status = account(small_spec(), status, seen, NOW + look)
    assert [entry.reason for entry in status.history] == ["RoutesChanged"]
    assert NOT_YET.detail in status.history[0].message
    seen = seeing(routes=replace(NOT_YET, edit="generation 9"))
    status = account(small_spec(), status, seen, NOW + 3)
    assert [entry.reason for entry in status.history] == ["RoutesChanged"] * 2
    kept = phase in (Phase.STARTING, Phase.ROLLING_BACK)  # why it is rolled back stays what it says
    assert (status.reason, status.message) == ("Why", "why") if kept else status.reason == "RoutesChanged"


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.ABORTED])
def test_nothing_is_told_of_hands_once_it_is_over(phase: Phase) -> None:
    seen = seeing(routes=replace(NOT_YET, edit="generation 7"))
    assert account(small_spec(), status_in(phase), seen, NOW).history == ()


def test_what_is_not_written_yet_is_nobodys_edit() -> None:
    status = status_in(Phase.PROGRESSING, verified=None, verified_at=None)
    assert account(small_spec(), status, seeing(routes=NOT_YET), NOW).history == ()
