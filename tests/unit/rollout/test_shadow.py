"""A shadow step: the candidate gets copies, clients get the champion's answers only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serving.rollout.adapters.envoy import EnvoyTraffic
from serving.rollout.spec import Step
from serving.rollout.status import Phase, Routes

from .test_adapters import FakeEnvoy, answering
from .world import World, small_spec

pytestmark = pytest.mark.anyio

STEPS = (
    Step(weight=100, shadow=True, min_requests=200, min_seconds=5),
    Step(weight=50, min_requests=100, min_seconds=5),
)


class Shadowed(World):
    """Copies come on top of what the champion answers; ``copied`` of those asked for really come."""

    copied = 1.0

    def flow(self, seconds: float) -> None:
        live = self.traffic.live
        if not (live.canary and live.shadow):
            return super().flow(seconds)
        n = self._whole(live.stable, self.rate * seconds)
        self.metrics.add(live.stable, "errors", n, 0)
        copies = n * live.weight * self.copied // 100
        bad = self._whole("bad", copies * self.errors.get(live.canary, 0.0))
        self.metrics.add(live.canary, "errors", copies, bad)
        self.clock.time += seconds
        return None


async def test_a_shadow_precedes_live_traffic_and_is_judged() -> None:
    world = Shadowed(small_spec(steps=STEPS))
    await world.begin()
    status = await world.play(12, until=Phase.PROMOTED)
    assert world.traffic.changes[0] == Routes(stable="v1", canary="v2", weight=100, shadow=True)
    assert world.traffic.changes[1] == Routes(stable="v1", canary="v2", weight=50)
    assert status.verdict is not None
    assert status.verdict.outcome != "routing_broken"


async def test_a_bad_shadow_never_answers_anyone() -> None:
    world = Shadowed(small_spec(steps=STEPS), errors={"v2": 0.5})
    await world.begin()
    status = await world.play(60)
    assert status.phase is Phase.ROLLED_BACK
    assert all(routes.shadow for routes in world.traffic.changes if routes.canary)
    assert all(entry.weight == 0 for entry in status.history)


@pytest.mark.parametrize(("copied", "broken"), [(1.0, False), (0.4, True)])
async def test_copies_are_counted_against_the_share_that_was_asked_for(copied: float, broken: bool) -> None:
    """100 copies to 100 answers are half of all units; 40 to 100 are not what was asked for."""
    world = Shadowed(small_spec(steps=(Step(weight=100, shadow=True, min_requests=10**6), STEPS[1])))
    world.copied = copied
    await world.begin()
    status = await world.play(30, until=Phase.PAUSED)
    assert (status.phase is Phase.PAUSED and status.reason == "RoutingBroken") is broken


async def test_envoy_mirrors_and_reads_the_mirror_back(tmp_path: Path) -> None:
    envoy = FakeEnvoy(tmp_path)
    traffic = EnvoyTraffic(tmp_path, answering({"/config_dump": envoy.answer}))
    traffic.admin_url = "http://envoy"
    traffic.endpoints = {"v1": ("127.0.0.1", 1), "v2": ("127.0.0.1", 2)}
    traffic.write(Routes(stable="v1"))
    envoy.take()
    shadow = Routes(stable="v1", canary="v2", weight=20, shadow=True)
    for _ in range(2):
        await traffic.apply(shadow)
        envoy.take()
    assert envoy.weights() == [100]
    mirror = json.loads((tmp_path / "routes.json").read_text())["resources"][0]
    policy = mirror["virtual_hosts"][0]["routes"][0]["route"]["request_mirror_policies"][0]
    assert (policy["cluster"], policy["runtime_fraction"]["default_value"]["numerator"]) == ("v2", 20)
    assert (await traffic.read_back(shadow)).state == "verified"
    assert (await traffic.read_back(Routes(stable="v1"))).state == "not_yet"
    assert (await traffic.read_back(Routes(stable="v1", canary="v2", weight=20))).state == "not_yet"
    for _ in range(2):
        await traffic.apply(Routes(stable="v1"))
        envoy.take()
    assert envoy.names() == {"v1"}
