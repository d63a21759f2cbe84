"""Rollouts through a real Envoy: who gets the traffic, and who is taken out of it."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from pathlib import Path

import httpx
import pytest

from serinus.errors import SerinusError
from serinus.registry import Registry
from serving.local.platform import Notice, Platform, Settings
from serving.local.replay import Replay
from serving.rollout.spec import Approval, Limits, Step
from serving.rollout.status import Phase

from .support import MODEL, QUICK, REAL, eventually, installation, load, spec_for

pytestmark = [pytest.mark.anyio, pytest.mark.local]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def live_clusters(platform: Platform) -> set[str]:
    """What Envoy itself has, asked without our adapter."""
    async with httpx.AsyncClient(timeout=60) as client:
        text = (await client.get(f"{platform.admin_url}/clusters")).text
    return {line.split("::")[0] for line in text.splitlines() if "::" in line}


async def sent_to(platform: Platform, predictor: str) -> int:
    """Requests that Envoy has sent to a predictor, copies too, once none is on its way any more."""
    pattern = rf"^cluster\.{predictor}\.upstream_rq_(total|active)$"
    async with httpx.AsyncClient(timeout=60) as client:
        while True:
            text = (await client.get(f"{platform.admin_url}/stats", params={"filter": pattern})).text
            pairs = (line.split(": ") for line in text.splitlines())
            found = {name.rpartition("_")[2]: int(value) for name, value in pairs}
            if found["active"] == 0:
                return found["total"]


async def test_real_scorers_share_traffic_by_weight_and_an_abort_removes_the_canary(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1, 2)
    async with Platform(home, REAL) as platform:
        await platform.start()
        spec = spec_for(2, Step(weight=25, min_requests=100_000))
        await platform.start_rollout(spec, by="ann")
        await platform.wait_rollout(Phase.PROGRESSING, timeout=60)
        await eventually(lambda: platform.rollout_status().in_place)
        assert await live_clusters(platform) == {"v1", "v2"}

        tally = await load(platform.url, 200).run(requests=1200)
        assert (tally.answered, tally.bad) == (1200, 0)
        expected = 1200 * 0.25
        chi_square = sum(
            (seen - wanted) ** 2 / wanted
            for seen, wanted in (
                (tally.of("v2").answered, expected),
                (tally.of("v1").answered, 1200 - expected),
            )
        )
        assert chi_square < 15.1  # one in ten thousand at one degree of freedom

        await platform.obeyed("abort", by="ann")
        status = await platform.wait_rollout(timeout=60)
        assert status.phase is Phase.ABORTED
        assert await live_clusters(platform) == {"v1"}
        assert set(platform.processes()) == {"envoy", "scorer v1"}
        after = await load(platform.url, 100).run(requests=100)
        assert set(after.predictors) == {"v1"}
        assert Registry(home).get(MODEL, 2).stage == "rolled_back"


async def test_a_shadow_gets_copies_through_the_real_envoy_and_answers_nobody(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1, 2)
    async with Platform(home, REAL) as platform:
        await platform.start()
        steps = (Step(weight=50, shadow=True, min_requests=200), Step(weight=50, min_requests=10**6))
        await platform.start_rollout(spec_for(2, *steps), by="ann")
        await platform.wait_rollout(Phase.PROGRESSING, timeout=60)
        await eventually(lambda: platform.rollout_status().in_place)
        tally = await load(platform.url, 200).run(requests=300)
        assert (set(tally.predictors), tally.bad) == ({"v1"}, 0)
        copied = await sent_to(platform, "v2")
        assert 105 < copied < 195  # 150 expected; one in ten million is outside
        await eventually(lambda: platform.rollout_status().canary_tally.requests == copied)
        await load(platform.url, 200).run(requests=200)
        await eventually(lambda: platform.rollout_status().step == 1)
        await eventually(lambda: platform.rollout_status().in_place)
        live = await load(platform.url, 200).run(requests=100)
        assert set(live.predictors) == {"v1", "v2"}


async def test_a_good_candidate_is_approved_by_a_second_person_and_promoted_with_no_request_lost(
    tmp_path: Path,
) -> None:
    home, _ = installation(tmp_path / "home", 1, 2)
    async with Platform(home, QUICK) as platform:
        await platform.start()
        steps = (
            Step(weight=25, min_requests=50),
            Step(weight=50, min_requests=100),
            Step(weight=100, min_requests=50, approval=Approval()),
        )
        replay = load(platform.url, 200)
        traffic = asyncio.create_task(replay.run())
        await platform.start_rollout(spec_for(2, *steps), by="cy")
        with pytest.raises(SerinusError) as early:
            platform.approve("bob", role="risk", reason="in advance")
        assert (early.value.code, "nobody is asked to approve" in early.value.what) == (
            "SRN-ROLLOUT-008",
            True,
        )
        waiting = await platform.wait_rollout(Phase.AWAITING_APPROVAL, timeout=60)
        assert waiting.phase is Phase.AWAITING_APPROVAL
        for own in ("ann", "cy"):  # built it; started the rollout
            with pytest.raises(SerinusError) as refusal:
                platform.approve(own, reason="mine")
            assert refusal.value.code == "SRN-APPROVAL-001"
        platform.approve("bob", role="risk", reason="read the evidence")
        status = await platform.wait_rollout(Phase.PROMOTED, timeout=60, ended=False)
        assert status.phase is Phase.PROMOTED
        await eventually(lambda: set(platform.processes()) == {"envoy", "scorer v2"})
        replay.stop()
        tally = await traffic
        assert tally.bad == 0
        assert tally.answered == tally.sent
        assert await live_clusters(platform) == {"v2"}
        assert Registry(home).get(MODEL, "champion").version == 2


async def test_an_erring_candidate_is_rolled_back_and_its_bad_answers_counted(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1, 3)
    async with Platform(home, QUICK) as platform:
        await platform.start()
        replay = load(platform.url, 150)
        traffic = asyncio.create_task(replay.run())
        await platform.start_rollout(spec_for(3), by="ann")
        on_its_way = asyncio.create_task(most_on_its_way(platform, replay))
        status = await platform.wait_rollout(timeout=60)
        replay.stop()
        tally = await traffic
        assert (status.phase, status.culprits) == (Phase.ROLLED_BACK, ("errors",))
        assert tally.of("v1").bad == 0
        # The scorer's own count and the client's differ by what was on its way at most.
        assert math.isclose(tally.of("v3").bad, status.canary_tally.bad, abs_tol=max(2, await on_its_way))
        assert status.verified_at is not None
        assert status.decided_at is not None
        assert status.verified_at >= status.decided_at


async def most_on_its_way(platform: Platform, replay: Replay) -> int:
    """Requests that were under way at once, at most, since it was decided to take the canary back."""
    most = 0
    while not platform.rollout_status().ended:
        if platform.rollout_status().ending is not None:
            most = max(most, replay.on_its_way)
        await asyncio.sleep(0.005)
    return most


async def test_a_slow_candidate_is_rolled_back_for_its_latency(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1, 4)
    async with Platform(home, QUICK) as platform:
        await platform.start()
        replay = load(platform.url, 100)
        traffic = asyncio.create_task(replay.run())
        await platform.start_rollout(spec_for(4), by="ann")
        status = await platform.wait_rollout(timeout=60)
        replay.stop()
        assert (await traffic).bad == 0
        assert (status.phase, status.culprits) == (Phase.ROLLED_BACK, ("latency",))


@pytest.mark.parametrize(
    ("version", "ready", "reason", "said"),
    [
        (5, "2s", "CandidateNeverReady", "not ready"),
        (6, "2m", "CandidateCrashed", "the model cannot be loaded"),
    ],
)
async def test_a_candidate_that_does_not_come_up_is_given_up_without_traffic(
    tmp_path: Path, version: int, ready: str, reason: str, said: str
) -> None:
    home, _ = installation(tmp_path / "home", 1, version)
    async with Platform(home, QUICK) as platform:
        await platform.start()
        spec = spec_for(version, limits=Limits(ready_timeout=ready))
        await platform.start_rollout(spec, by="ann")
        status = await platform.wait_rollout(timeout=60)
        assert status.phase is Phase.ROLLED_BACK
        condition = status.condition("RolledBack")
        assert condition is not None
        assert condition.reason == reason
        assert said in condition.message
        assert status.step == -1
        assert set(platform.processes()) == {"envoy", "scorer v1"}


async def test_a_candidate_killed_in_a_step_is_rolled_back_at_once(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1, 2)
    async with Platform(home, QUICK) as platform:
        await platform.start()
        await platform.start_rollout(spec_for(2), by="ann")
        await platform.wait_rollout(Phase.PROGRESSING, timeout=60)
        os.kill(platform.processes()["scorer v2"], signal.SIGKILL)
        status = await platform.wait_rollout(timeout=60)
        condition = status.condition("RolledBack")
        assert condition is not None
        assert condition.reason == "CandidateCrashed"
        assert "SIGKILL" in condition.message
        assert (await load(platform.url, 100).run(requests=50)).bad == 0


async def test_a_candidate_that_hangs_counts_as_crashed(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1, 7)
    async with Platform(
        home, Settings(scorer_command=QUICK.scorer_command, interval=0.2, timeout=0.5)
    ) as platform:
        await platform.start()
        replay = load(platform.url, 50)
        traffic = asyncio.create_task(replay.run())
        await platform.start_rollout(spec_for(7), by="ann")
        status = await platform.wait_rollout(timeout=60)
        replay.stop()
        tally = await traffic
        condition = status.condition("RolledBack")
        assert condition is not None
        assert (condition.reason, "readiness" in condition.message) == ("CandidateCrashed", True)
        assert tally.of("v7").codes.get("504", 0) > 0  # put down to who was late, by Envoy


async def test_a_candidate_that_dies_in_the_rollback_window_makes_way_for_the_former_champion(
    tmp_path: Path,
) -> None:
    home, _ = installation(tmp_path / "home", 1, 2)
    async with Platform(home, QUICK) as platform:
        await platform.start()
        await platform.start_rollout(spec_for(2, rollback_window="10m"), by="ann")
        await platform.wait_rollout(Phase.PROGRESSING, timeout=60)
        await platform.obeyed("promote", by="ann")
        await platform.wait_rollout(Phase.PROMOTED, timeout=60)
        assert set(platform.processes()) == {"envoy", "scorer v1", "scorer v2"}
        assert set((await load(platform.url, 100).run(requests=30)).predictors) == {"v2"}
        os.kill(platform.processes()["scorer v2"], signal.SIGKILL)
        status = await platform.wait_rollout(timeout=60)
        assert status.phase is Phase.ROLLED_BACK
        assert set((await load(platform.url, 100).run(requests=30)).predictors) == {"v1"}
        assert platform.champion is not None
        assert platform.champion.version == Registry(home).get(MODEL, "champion").version == 1


async def test_a_killed_champion_is_noticed_and_restarted(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1)
    told: list[Notice] = []
    async with Platform(home, QUICK, on_notice=told.append) as platform:
        await platform.start()
        before = platform.processes()["scorer v1"]
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: platform.processes().get("scorer v1", before) != before)
        await platform.predictors.ready("v1")
        await eventually(lambda: len(told) == 1)
        assert "SIGKILL" in told[0].message
        assert (await load(platform.url, 100).run(requests=50)).of("v1").codes.get("200", 0) > 0


async def test_a_killed_envoy_comes_back_on_the_same_port(tmp_path: Path) -> None:
    home, _ = installation(tmp_path / "home", 1)
    async with Platform(home, QUICK) as platform:
        await platform.start()
        url, before = platform.url, platform.processes()["envoy"]
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: platform.processes()["envoy"] != before)
        assert platform.url == url
        assert (await load(url, 100).run(requests=50)).bad == 0


async def test_only_one_rollout_at_a_time_and_not_of_the_champion_itself(tmp_path: Path) -> None:
    home, bundles = installation(tmp_path / "home", 1, 2)
    async with Platform(home, QUICK) as platform:
        await platform.start()
        with pytest.raises(SerinusError, match="SRN-ROLLOUT-003"):
            await platform.start_rollout(spec_for(1), by="ann")
        await platform.start_rollout(spec_for(2), by="ann", candidate=bundles[2])
        with pytest.raises(SerinusError, match="SRN-ROLLOUT-004"):
            await platform.start_rollout(spec_for(2), by="ann")
