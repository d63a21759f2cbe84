"""The predictors port on one machine: each predictor is one scorer process.

The champion is restarted when it dies; a candidate that dies stays dead, because
its death is a finding.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec

from serinus.errors import SerinusError
from serving.rollout.ports import Health

from .child import Child

log = logging.getLogger("serinus.platform")

READY_TIMEOUT = 60.0
PROBE_EVERY = 1.0
PROBE_FAILURES = 5  # in a row, before a running process counts as hung
BACKOFF = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds before each further restart


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Which bundle a predictor serves."""

    name: str
    model: str
    bundle: str
    version: int
    digest: str
    registered: bool = False


class Scorer(msgspec.Struct, frozen=True, kw_only=True):
    """How scorers are started. ``command`` takes the flags of ``python -m serving.scorer``."""

    home: Path
    logs: Path
    mark: dict[str, str]
    command: tuple[str, ...] = (sys.executable, "-m", "serving.scorer")
    payload_url: str | None = None
    explain: str = "adverse"
    cwd: Path | None = None

    def arguments(self, target: Target) -> list[str]:
        """The command line for one predictor; the kernel chooses the port."""
        flags = [
            "--bundle", target.bundle, "--home", str(self.home), "--predictor", target.name,
            "--model", target.model, "--host", "127.0.0.1", "--port", "0", "--explain", self.explain,
        ]  # fmt: skip
        if self.payload_url:
            flags += ["--payload-url", self.payload_url]
        return [*self.command, *flags]


class _Running:
    """One predictor and its processes, one after another."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.keep = False
        self.child: Child | None = None
        self.address: tuple[str, int] | None = None
        self.health = Health(state="starting", detail="starting")
        self.restarts = 0
        self.task: asyncio.Task[None] | None = None


class LocalPredictors:
    """Runs scorers. ``on_address`` is told whenever a predictor answers at a new address."""

    def __init__(
        self,
        scorer: Scorer,
        on_address: Callable[[str, tuple[str, int]], None],
        on_loss: Callable[[str, str], None] | None = None,
    ) -> None:
        self.scorer = scorer
        self.targets: dict[str, Target] = {}
        self.beside: Callable[[], dict[str, str]] = dict
        """Pages that tell of every predictor, by the predictor's label: that of the outcomes."""
        self._on_address = on_address
        self._on_loss = on_loss or (lambda name, detail: None)
        self._running: dict[str, _Running] = {}
        self._client = httpx.AsyncClient(timeout=2.0, trust_env=False)

    async def close(self) -> None:
        """Stop every predictor."""
        await asyncio.gather(*(self.stop(name) for name in list(self._running)))
        await self._client.aclose()

    def keep(self, name: str) -> None:
        """From now on ``name`` is the champion: restarted when it dies, and it alone."""
        for running in self._running.values():
            running.keep = running.target.name == name

    def sources(self, name: str) -> dict[str, str]:
        """The predictor's processes and their metrics pages: one whose counters restart is another source."""
        running = self._running.get(name)
        if running is None or running.child is None or running.address is None:
            return {}
        host, port = running.address
        return {f"{name}-{running.child.pid}": f"http://{host}:{port}/metrics"} | self.beside()

    def processes(self) -> dict[str, int]:
        """Process ids of the live scorers by predictor."""
        return {
            name: running.child.pid
            for name, running in self._running.items()
            if running.child is not None and running.child.alive
        }

    async def start(self, name: str) -> None:
        """Start a known target (see ``targets``), unless it runs."""
        if name in self._running:
            return
        running = self._running[name] = _Running(self.targets[name])
        running.task = asyncio.create_task(self._supervise(running))

    async def health(self, name: str) -> Health:
        """From the process and its readiness, never from metrics."""
        running = self._running.get(name)
        return running.health if running else Health(state="absent")

    async def ready(self, name: str, timeout: float = READY_TIMEOUT) -> None:
        """Wait until ``name`` answers.

        Raises:
            SerinusError: SRN-PLATFORM-005 if it does not, saying why.
        """
        end = asyncio.get_running_loop().time() + timeout
        while asyncio.get_running_loop().time() < end:
            health = await self.health(name)
            if health.state == "ready":
                return
            if health.state in ("crashed", "absent"):
                break
            await asyncio.sleep(0.02)
        raise SerinusError(
            "SRN-PLATFORM-005",
            f"{name} {(await self.health(name)).detail or 'did not become ready'}",
            where=str(self._log(name)),
            hint="The log says more.",
        )

    async def stop(self, name: str) -> None:
        """Drain and stop a predictor; absent afterwards."""
        running = self._running.get(name)
        if running is None:
            return
        running.keep = False
        if running.task is not None:
            running.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running.task
        if running.child is not None:
            await running.child.stop()
        self._running.pop(name, None)

    def _log(self, name: str) -> Path:
        return self.scorer.logs / f"scorer-{name}.log"

    async def _supervise(self, running: _Running) -> None:
        name = running.target.name
        while True:
            ended = await self._live(running)
            running.address = None
            running.health = Health(state="crashed", detail=ended)
            log.warning("predictor %s %s", name, ended)
            self._on_loss(name, ended)
            if not running.keep:
                return
            wait = BACKOFF[min(running.restarts, len(BACKOFF) - 1)]
            running.restarts += 1
            running.health = Health(state="starting", detail=f"{ended}; restarting")
            log.warning("predictor %s is the champion: restarting it in %.1f s", name, wait)
            await asyncio.sleep(wait)

    async def _live(self, running: _Running) -> str:
        """One process's life; returns how it ended."""
        name = running.target.name
        try:
            running.child = child = await Child.start(
                f"scorer {name}",
                self.scorer.arguments(running.target),
                log=self._log(name),
                mark=self.scorer.mark,
                cwd=self.scorer.cwd,
            )
            said = await child.ready(READY_TIMEOUT)
        except SerinusError as problem:
            if running.child is not None and running.child.alive:
                await running.child.stop(grace=1.0)
            return problem.what
        running.address = ("127.0.0.1", int(said["port"]))
        self._on_address(name, running.address)
        running.health = Health(state="ready", answering=True)
        ended = await self._watch(running, child)
        if child.alive:
            await child.stop(grace=0.0)
            return ended
        return f"{child.ending()}{child.last_words() if (await child.exited) >= 0 else ''}"

    async def _watch(self, running: _Running, child: Child) -> str:
        """Probe readiness until the process ends, or has not answered for long."""
        assert running.address is not None
        url = f"http://{running.address[0]}:{running.address[1]}/v2/health/ready"
        failures = 0
        while True:
            done, _ = await asyncio.wait({child.exited}, timeout=PROBE_EVERY)
            if done:
                return ""
            try:
                failures = 0 if (await self._client.get(url)).is_success else failures + 1
            except httpx.HTTPError:
                failures += 1
            if failures >= PROBE_FAILURES:
                return f"runs but has not answered {failures} readiness probes in a row"
            running.health = Health(
                state="ready",
                answering=failures < 2,
                detail=f"{failures} readiness probes unanswered" if failures else "",
            )
