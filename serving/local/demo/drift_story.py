"""The last story: the stream shifts, the monitor notices, an alert starts retraining."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serinus.home import Home
from serving.local import monitoring
from serving.local.demo.candidates import Recipe
from serving.local.demo.closing import Closing
from serving.local.demo.drifting import Silence, Watch
from serving.local.demo.screen import Screen
from serving.local.demo.story import play, spec_for, tell_ending
from serving.local.demo.traffic import Traffic
from serving.local.platform import Platform


async def drift_story(
    platform: Platform,
    screen: Screen,
    home: Home,
    traffic: Traffic,
    shifted: list[dict[str, Any]],
    closing: Closing,
    silence: Silence,
    *,
    column: str,
    factor: float,
    builder: str,
    approver: str,
    validator: str,
    timeout: float,
    patience: float,
) -> None:
    """Follow the shift to its verdict, the alert, the new version, and that version's canary.

    Args:
        timeout: seconds for each wait but one.
        patience: seconds for retraining itself.
    """
    assert platform.champion is not None
    model = platform.champion.model
    watch = Watch(platform, screen, home, model)
    newest = watch.newest()
    quiet, text = await watch.until_judged(silence, traffic, timeout)
    watch.tell(text)
    closing.silence(quiet, text)
    traffic.source.switch(shifted)
    watch.tell(f"from now on {column} is {factor:g} times what it was")
    if monitoring.find_prometheus() is None:
        watch.tell("Prometheus is not installed: the monitor's own verdict will call the retraining receiver")
    verdict = await watch.until_drift(traffic, timeout)
    if verdict is None:
        watch.tell("the monitor saw no drift in time")
        closing.drift(noticed=False, alerted=False, version=None, moments=watch.moments)
        return
    watch.tell(verdict)
    alerted = await watch.until_run(traffic, timeout)
    if not alerted:
        watch.tell("no alert reached the retraining receiver in time")
        closing.drift(noticed=True, alerted=False, version=None, moments=watch.moments)
        return
    watch.tell(f"{alerted}; the pipeline runs again, on data that hold the new weeks and their labels")
    version = await watch.until_version(newest, traffic, patience)
    if isinstance(version, str):
        watch.tell(version)
        closing.drift(noticed=True, alerted=True, version=None, moments=watch.moments)
        return
    watch.tell(f"{model} v{version.version} passed the same gates and enters as a canary")
    recipe = Recipe(
        name="retrained",
        title="a retrained model",
        fault="",
        ends="Promoted",
        culprit=None,
        contract=Path(),
        config=Path(),
        data=Path(),
    )
    # It is meant to score differently, so scores and decisions are watched and reported but do not count.
    spec = spec_for(model, version.version, timeout=timeout, observe=("scores", "decisions"))
    recording = await play(
        platform,
        screen,
        traffic,
        recipe,
        spec,
        builder=builder,
        approver=approver,
        validator=validator,
        timeout=timeout,
    )
    tell_ending(screen, recording)
    closing.story(recording)
    closing.drift(noticed=True, alerted=True, version=version.version, moments=watch.moments)
