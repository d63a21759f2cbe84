"""Nobody gets traffic before every proxy knows of them, and nobody is stopped before every proxy has forgotten them."""

from __future__ import annotations

from typing import Any

import pytest

from serving.rollout.decide import Action, Stop, decide
from serving.rollout.ports import Readback
from serving.rollout.status import Condition, Phase, Routes

from .cases import ABSENT, CHAMPION, CRASHED, NOT_YET, NOW, STARTING, VERIFIED, seeing, status_in
from .world import World, small_spec

pytestmark = pytest.mark.anyio

SETTLES = Readback(state="verified", settle=2.0)
BACK: dict[str, Any] = {"desired": CHAMPION, "verified": CHAMPION, "ending": Phase.ROLLED_BACK}
ON: dict[str, Any] = {"desired": Routes(stable="v2"), "verified": Routes(stable="v2")}


@pytest.mark.parametrize(("ago", "phase"), [(0.0, "Starting"), (1.9, "Starting"), (2.0, "Progressing")])
def test_the_first_request_waits_until_the_proxies_know_of_the_candidate(ago: float, phase: str) -> None:
    ready = Condition(type="CandidateReady", status="True", reason="Ready", message="", since=NOW - ago)
    status = status_in(Phase.STARTING, conditions=(ready,))
    decided = decide(small_spec(), status, seeing(routes=SETTLES), NOW)
    assert decided.status.phase == phase
    assert ("the proxies are being told of it" in decided.status.message) == (phase == "Starting")


def test_where_the_proxy_is_read_itself_it_does_not_wait() -> None:
    decided = decide(small_spec(), status_in(Phase.STARTING), seeing(routes=VERIFIED), NOW)
    assert decided.status.phase is Phase.PROGRESSING


def stops(actions: tuple[Action, ...]) -> list[str]:
    return [action.predictor for action in actions if isinstance(action, Stop)]


@pytest.mark.parametrize(
    ("phase", "routes", "loser"),
    [
        (Phase.ROLLED_BACK, BACK, "v2"),
        (Phase.ABORTED, BACK, "v2"),
        (Phase.PROMOTED, ON, "v1"),
    ],
)
@pytest.mark.parametrize(("ago", "settled"), [(0.0, False), (1.9, False), (2.0, True)])
def test_only_once_the_routes_have_settled(
    phase: Phase, routes: dict[str, Any], loser: str, ago: float, settled: bool
) -> None:
    status = status_in(phase, verified_at=NOW - ago, **routes)
    decided = decide(small_spec(), status, seeing(routes=SETTLES), NOW)
    assert stops(decided.actions) == ([loser] if settled else [])
    assert not decided.status.ended


def test_a_proxy_that_was_read_itself_needs_no_time() -> None:
    status = status_in(Phase.ROLLED_BACK, verified_at=NOW, **BACK)
    assert stops(decide(small_spec(), status, seeing(routes=VERIFIED), NOW).actions) == ["v2"]


def test_nobody_is_stopped_while_the_routes_differ_and_what_is_gone_has_ended() -> None:
    status = status_in(Phase.ROLLED_BACK, verified_at=NOW - 60, **BACK)
    decided = decide(small_spec(), status, seeing(routes=NOT_YET), NOW)
    assert (stops(decided.actions), decided.status.ended) == ([], False)
    decided = decide(small_spec(), status, seeing(routes=SETTLES, candidate=ABSENT), NOW)
    assert (stops(decided.actions), decided.status.ended) == ([], True)


@pytest.mark.parametrize("candidate", [STARTING, ABSENT])
def test_the_former_champion_stands_by_while_the_candidate_answers_nobody(candidate: Any) -> None:
    status = status_in(Phase.PROMOTED, verified_at=NOW - 50, **ON)
    down = seeing(routes=SETTLES, candidate=candidate)
    assert stops(decide(small_spec(), status, down, NOW).actions) == []


def test_one_that_crashes_as_its_window_ends_makes_way() -> None:
    status = status_in(Phase.PROMOTED, verified_at=NOW - 50, **ON)
    decided = decide(small_spec(), status, seeing(candidate=CRASHED), NOW)
    assert (decided.status.phase, decided.status.desired) == (Phase.ROLLING_BACK, CHAMPION)


async def test_what_the_candidate_answers_until_it_is_stopped_is_counted() -> None:
    world = World(small_spec())
    world.errors["v2"] = 0.5
    world.traffic.settle = 2.0
    await world.begin()
    status = await world.play(60, until=Phase.ROLLED_BACK)
    assert world.predictors.stops == []
    world.metrics.add("v2", "errors", 7, 7)  # a proxy that had not heard yet
    before = status.canary_tally
    status = await world.play(10)
    assert (status.ended, world.predictors.stops) == (True, ["v2"])
    assert status.canary_tally.requests == before.requests + 7
    assert status.canary_tally.bad == before.bad + 7
