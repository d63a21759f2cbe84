"""The controller's HTTP pages: is it alive, is it ready, and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from serinus import metrics as names
from serinus.errors import SerinusError
from serinus.kube.api import Api

from ..exposition import RolloutCollector
from .lease import Election
from .supervise import Supervisor
from .watch import World


class ControllerCollector:
    """How the controller itself is."""

    def __init__(self, api: Api, world: World, election: Election, supervisor: Supervisor) -> None:
        self._api = api
        self._world = world
        self._election = election
        self._supervisor = supervisor

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics of one moment."""
        leading = self._election.leading
        yield GaugeMetricFamily(names.CONTROLLER_LEADER, "1 on the replica that acts.", value=float(leading))
        active = self._supervisor.active
        yield GaugeMetricFamily(names.CONTROLLER_ROLLOUTS, "Rollouts that have not ended.", value=active)
        calls = CounterMetricFamily(names.CONTROLLER_CALLS, "Calls to the API server.")
        calls.add_metric((), self._api.calls)
        yield calls
        if leading:
            age = self._world.age()
            yield GaugeMetricFamily(names.CONTROLLER_WATCH_AGE, "Silence of the quietest watch.", value=age)


class Pages:
    """``/healthz`` and ``/readyz`` on one port, ``/metrics`` on another."""

    def __init__(self, api: Api, world: World, election: Election, supervisor: Supervisor) -> None:
        self.alive: Callable[[], bool] = lambda: True
        self.ready: Callable[[], bool] = lambda: True
        self._registry = CollectorRegistry()
        rollouts = RolloutCollector(supervisor.statuses, supervisor.ended, namespaced=True)
        self._registry.register(rollouts)  # pyright: ignore[reportArgumentType]
        own = ControllerCollector(api, world, election, supervisor)
        self._registry.register(own)  # pyright: ignore[reportArgumentType]
        self._runners: list[web.AppRunner] = []

    async def start(self, host: str, health: int, metrics: int) -> None:
        """Listen.

        Raises:
            SerinusError: SRN-ROLLOUT-010 if a port cannot be had.
        """
        healthy = web.Application()
        healthy.router.add_get("/healthz", self._healthz)
        healthy.router.add_get("/readyz", self._readyz)
        measured = web.Application()
        measured.router.add_get("/metrics", self._metrics)
        for application, port in ((healthy, health), (measured, metrics)):
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as problem:
                raise SerinusError(
                    "SRN-ROLLOUT-010",
                    f"cannot listen here ({problem.strerror or problem})",
                    where=f"{host}:{port}",
                    hint="Choose another --health-port or --metrics-port.",
                ) from None
            self._runners.append(runner)

    async def stop(self) -> None:
        """Listen no more."""
        for runner in self._runners:
            await runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        return self._answer(self.alive())

    async def _readyz(self, request: web.Request) -> web.Response:
        return self._answer(self.ready())

    def _answer(self, good: bool) -> web.Response:
        return web.Response(text="ok\n" if good else "not yet\n", status=200 if good else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
