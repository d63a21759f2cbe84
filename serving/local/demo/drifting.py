"""Following drift, alert and retraining through the programs' own status pages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from serinus.home import Home
from serinus.registry import Registry, Version
from serving.local.demo.recording import Moment
from serving.local.demo.screen import Screen
from serving.local.demo.traffic import Traffic
from serving.local.platform import Platform
from serving.local.sidecars import Sidecar

LOOK = 0.5


class Silence:
    """Whether the monitor said nothing so far, over all the monitors that ran: each
    promotion starts another, whose counters begin anew."""

    def __init__(self) -> None:
        self._judged: dict[str, int] = {}
        self._alarms: dict[str, dict[str, int]] = {}
        self._runs = 0

    async def look(self, platform: Platform) -> bool:
        """Read both programs' counters; whether the present monitor has judged anything."""
        return self.note(await _status(platform.drift), await _status(platform.retrain))

    def note(self, monitor: dict[str, Any], receiver: dict[str, Any]) -> bool:
        """What their status pages say; whether this monitor has judged anything."""
        digest = str(monitor.get("digest", ""))
        judged = sum(monitor.get("rows", {}).values())
        self._judged[digest] = max(self._judged.get(digest, 0), judged)
        alarms = self._alarms.setdefault(digest, {})
        for kind, count in monitor.get("windows", {}).items():
            alarms[kind] = max(alarms.get(kind, 0), count)
        self._runs = max(self._runs, len(receiver.get("runs", [])))
        return judged > 0

    @property
    def kept(self) -> bool:
        """It judged traffic, raised no alarm and started no retraining."""
        return sum(self._judged.values()) > 0 and not self._runs and not self._raised()

    @property
    def told(self) -> str:
        """The same in words."""
        judged = sum(self._judged.values())
        if not judged:
            return "until now the monitor has judged nothing"
        raised = self._raised()
        if raised or self._runs:
            windows = ", ".join(f"{count} of {kind}" for kind, count in raised.items()) or "none"
            return f"before the shift it was not silent: alarms {windows}; {self._runs} retraining runs"
        return f"until now the monitor was silent over {judged:,} requests that it judged"

    def _raised(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for alarms in self._alarms.values():
            for kind, count in alarms.items():
                if count:
                    found[kind] = found.get(kind, 0) + count
        return found


class Watch:
    """Asks the monitor, the receiver and the registry what a person would ask them."""

    def __init__(self, platform: Platform, screen: Screen, home: Home, model: str) -> None:
        self._platform = platform
        self._screen = screen
        self._registry = Registry(home)
        self._model = model
        self._began = time.monotonic()
        self.moments: list[Moment] = []

    def tell(self, text: str) -> None:
        """One line of the timeline."""
        moment = Moment(t=round(time.monotonic() - self._began, 2), text=text)
        self.moments.append(moment)
        self._screen.moment(moment.t, text)

    def newest(self) -> int:
        """The newest registered version."""
        return self._registry.get(self._model, "latest").version

    async def until_judged(self, silence: Silence, traffic: Traffic, timeout: float) -> tuple[bool, str]:
        """Whether the monitor was silent until now, as it must be on traffic that did not shift.

        Waits until the monitor that runs now has judged a window: a new champion has a
        new reference, and one that has judged nothing has not been silent about anything.
        """

        async def look() -> bool | None:
            return await silence.look(self._platform) or None

        judged = await _until(look, traffic, timeout)
        return (True, silence.told) if judged and silence.kept else (False, silence.told)

    async def until_drift(self, traffic: Traffic, timeout: float) -> str | None:
        """What the monitor said when it called for retraining, or None if it did not in time."""

        async def look() -> str | None:
            predictors = (await _status(self._platform.drift)).get("predictors", {})
            for predictor, seen in predictors.items():
                if seen.get("retrain"):
                    return _in_words(predictor, seen["verdict"])
            return None

        return await _until(look, traffic, timeout)

    async def until_run(self, traffic: Traffic, timeout: float) -> str | None:
        """The retraining run that an alert started, or None."""

        async def look() -> str | None:
            runs = (await _status(self._platform.retrain)).get("runs", [])
            return f"an alert started retraining run {runs[-1]['id']}" if runs else None

        return await _until(look, traffic, timeout)

    async def until_version(self, known: int, traffic: Traffic, timeout: float) -> Version | str:
        """A version newer than ``known``, or why there is none."""

        async def look() -> Version | str | None:
            newest = self._registry.get(self._model, "latest")
            if newest.version > known:
                return newest
            failed = [
                r for r in (await _status(self._platform.retrain)).get("runs", []) if r["outcome"] == "failed"
            ]
            return f"run {failed[-1]['id']} failed; its log lies in runs/retrain" if failed else None

        return await _until(look, traffic, timeout) or "retraining registered no new version in time"


async def _status(sidecar: Sidecar | None) -> dict[str, Any]:
    """A program's status page; empty while it does not answer."""
    if sidecar is None:
        return {}
    async with httpx.AsyncClient(timeout=5) as client:
        try:
            return dict((await client.get(f"{sidecar.url}/status")).json())
        except (httpx.HTTPError, ValueError):
            return {}


async def _until[T](look: Callable[[], Awaitable[T | None]], traffic: Traffic, timeout: float) -> T | None:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        traffic.check()
        found = await look()
        if found is not None:
            return found
        await asyncio.sleep(LOOK)
    return None


def _in_words(predictor: str, verdict: dict[str, Any]) -> str:
    """Which columns drifted, by how much, and how sure that is."""
    columns = [c for c in (*verdict["features"], verdict["score"]) if c["status"] == "drift"]
    columns.sort(key=lambda c: -((c.get("effect") or {}).get("psi") or 0))
    told = ", ".join(_one(c, verdict) for c in columns[:3])
    more = f" and {len(columns) - 3} more" if len(columns) > 3 else ""
    return f"after {verdict['looks']} looks at {predictor}: drift in {told}{more}"


def _one(column: dict[str, Any], verdict: dict[str, Any]) -> str:
    effect, test = column["effect"], column.get("test") or {}
    second = f"; Alibi Detect p {test['p_value']:.1g}" if test.get("p_value") is not None else ""
    return (
        f"{column['name']} (PSI {effect['psi']:.2f}, limit {column['psi_limit']:.2f}, "
        f"evidence 10^{column['evidence_log10']:.1f} of 10^{verdict['column_threshold_log10']:.1f}{second})"
    )
