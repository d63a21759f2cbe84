"""One rollout, played on live traffic, watched and recorded to its end."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

import msgspec

from serinus.errors import SerinusError
from serinus.evidence import Guard
from serving.local.demo.candidates import Recipe
from serving.local.demo.recording import Moment, Point, Recording
from serving.local.demo.screen import Screen
from serving.local.demo.traffic import Traffic
from serving.local.platform import Notice, Platform
from serving.rollout.spec import Approval, Limits, RolloutSpec, Step, default_guards
from serving.rollout.status import Phase, RolloutStatus

LOOK = 0.5
ENDS = (Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED, Phase.FAILED)


def spec_for(
    model: str,
    version: int,
    *,
    timeout: float,
    observe: tuple[str, ...] = (),
) -> RolloutSpec:
    """The demo's rollout: 5, 25, 50 %, then 100 % after a second person's approval.

    The counts are small because the demo's traffic is; the guards, the error
    bound α and the margins are the product's defaults.

    Args:
        timeout: seconds after which the story is given up; the rollout itself judges a little longer.
        observe: guards that are computed and reported but move nothing. A model
            retrained because the data changed is *meant* to score differently.
    """
    guards: tuple[Guard, ...] = tuple(
        msgspec.structs.replace(g, mode="observe") if g.name in observe else g for g in default_guards()
    )
    return RolloutSpec(
        model=model,
        candidate=str(version),
        steps=(
            Step(weight=5, min_requests=40, min_seconds=3),
            Step(weight=25, min_requests=150, min_seconds=3),
            Step(weight=50, min_requests=400, min_seconds=3, analysis="clear"),
            Step(weight=100, min_seconds=2, approval=Approval()),
        ),
        guards=guards,
        limits=Limits(max_duration=f"{timeout + 30:.0f}s", no_data_timeout="30s", ready_timeout="2m"),
    )


async def play(
    platform: Platform,
    screen: Screen,
    traffic: Traffic,
    recipe: Recipe,
    spec: RolloutSpec,
    *,
    builder: str,
    approver: str,
    validator: str,
    timeout: float,
) -> Recording:
    """Start the rollout, send traffic, and follow it until it has ended.

    Args:
        builder: who built and started it, and whose own approval is shown refused.
        approver: the second person.
        validator: the third, where the model's tier asks for one.
        timeout: seconds after which the story is given up.
    """
    status = await platform.start_rollout(spec, by=builder)
    recording = Recording(
        name=recipe.name,
        title=recipe.title,
        fault=recipe.fault,
        model=spec.model,
        champion=status.champion,
        candidate=status.candidate,
        threshold=-math.log10(spec.alpha),
        expected=recipe.ends,
        expected_culprit=recipe.culprit,
    )
    began = time.monotonic()

    def tell(text: str) -> None:
        moment = Moment(t=round(time.monotonic() - began, 2), text=text)
        recording.moments.append(moment)
        screen.moment(moment.t, text)

    def notice(notice: Notice) -> None:
        tell(notice.message)

    before = platform.on_notice
    platform.on_notice = notice
    watch = traffic.watch()
    asked = False
    try:
        while True:
            status = platform.rollout_status()
            recording.points.append(_point(status, watch, time.monotonic() - began))
            if status.phase is Phase.AWAITING_APPROVAL and not asked:
                asked = True
                _approve(platform, tell, builder, approver, validator)
            if status.phase in ENDS:
                break
            if time.monotonic() - began > timeout:
                tell(f"given up after {timeout:.0f} s")
                platform.abort(by=builder, reason="the story took too long")
                await platform.wait_rollout(*ENDS, timeout=30)
                break
            traffic.check()
            await asyncio.sleep(LOOK)
        status = platform.rollout_status()
        recording.points.append(_point(status, watch, time.monotonic() - began))
    finally:
        platform.on_notice = before
    recording.ended = status.phase.value
    recording.culprits = list(status.culprits)
    recording.why = status.message
    if status.verdict is not None:
        recording.guards = [msgspec.to_builtins(guard) for guard in status.verdict.guards]
    recording.latency_ms = traffic.latency((status.champion, status.candidate))
    return recording


def _approve(
    platform: Platform, tell: Callable[[str], None], builder: str, approver: str, validator: str
) -> None:
    try:
        platform.approve(builder, reason="I built it and it is fine")
        tell(f"{builder} approved their own candidate: this must never happen")
    except SerinusError as error:
        tell(f"refused: {error.code} {error.what}")
    assert platform.rollout is not None
    required = platform.rollout.record.spec.required
    if required is not None and "validator" in required.roles:
        platform.approve(validator, role="validator", reason="validated it; read the evidence of the canary")
        tell(f"{validator} approved as validator, which the model's tier asks for")
    platform.approve(approver, reason="read the validation report and the evidence of the canary")
    tell(f"{approver} approved, having read the report and the evidence")


def _point(status: RolloutStatus, seen: Callable[[str], tuple[int, int]], t: float) -> Point:
    verdict = status.verdict
    canary, champion = seen(status.candidate), seen(status.champion)
    evidence = None
    if verdict is not None and math.isfinite(verdict.log10_e):
        evidence = round(verdict.log10_e, 4)
    return Point(
        t=round(t, 2),
        phase=status.phase.value,
        weight=status.weight,
        evidence=evidence,
        canary_requests=canary[0],
        canary_bad=canary[1],
        champion_requests=champion[0],
        champion_bad=champion[1],
    )


def tell_ending(screen: Screen, recording: Recording) -> None:
    """How a story ended, in the client's own numbers."""
    last = recording.last
    colour = "green" if recording.ok else "red"
    screen.say(f"   [{colour}]{recording.ended}[/{colour}]  {recording.why}")
    if last is not None:
        screen.say(
            f"   counted at the client: the candidate answered {last.canary_requests:,} requests, "
            f"{last.canary_bad:,} of them badly; the champion {last.champion_requests:,}, {last.champion_bad:,} badly"
        )
