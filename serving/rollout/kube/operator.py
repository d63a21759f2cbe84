"""The controller: kopf watches ModelRollouts, a lease says who acts, the supervisor drives them."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence
from typing import Any

import kopf
import msgspec

from serinus.kube.api import Api

from .lease import Election
from .names import ROLLOUT
from .pages import Pages
from .rollout import Settings
from .supervise import Supervisor
from .watch import World

log = logging.getLogger(__name__)


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """Where the controller runs, and what it serves."""

    namespaces: tuple[str, ...] = ()
    lease_namespace: str = "default"
    lease_name: str = "serinus-rollout"
    identity: str
    host: str = "0.0.0.0"
    health_port: int = 8080
    metrics_port: int = 9090


class Controller:
    """One replica."""

    def __init__(self, config: Any, flags: Flags, settings: Settings, api: Api | None = None) -> None:
        self.flags = flags
        self.api = api or Api(config)
        self.world = World(self.api, flags.namespaces)
        self.supervisor = Supervisor(self.api, self.world, settings)
        self.election = Election(self.api, flags.lease_namespace, flags.lease_name, flags.identity)
        self.api.may_write = lambda: self.election.holds
        self.pages = Pages(self.api, self.world, self.election, self.supervisor)
        self.stopping = asyncio.Event()
        self._config = config
        self._ready = asyncio.Event()

    async def run(self) -> bool:
        """Until a signal (True: all is well) or the loss of the lease (False: begin anew)."""
        # A replica in waiting is ready: it can take over. A leader is once it watches everything.
        self.pages.ready = lambda: not self.election.leading or self._ready.is_set()
        await self.pages.start(self.flags.host, self.flags.health_port, self.flags.metrics_port)
        try:
            won = await self._first(self.election.win())
            if not won:
                return True
            return await self._lead()
        finally:
            await self.supervisor.stop()
            await self.world.stop()
            await self.election.resign()
            await self.pages.stop()
            await self.api.close()

    async def _lead(self) -> bool:
        keeping = asyncio.create_task(self.election.keep())
        watching = asyncio.create_task(self._watch())
        stopping = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait({keeping, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            failure = watching.exception() if watching.done() else None
            if failure is not None:
                # Whatever ended the watch must not go unsaid.
                log.error("the watch of ModelRollouts ended", exc_info=failure)
                return False
            # kopf takes the signals while it runs, and returns on one.
            return stopping.done() or watching.done()
        finally:
            for task in (watching, keeping, stopping):
                task.cancel()
            await asyncio.gather(keeping, watching, stopping, return_exceptions=True)

    async def _watch(self) -> None:
        await self.world.start()
        self._ready.set()
        await kopf.operator(
            registry=self._registry(),
            settings=_settings(),
            standalone=True,
            clusterwide=not self.flags.namespaces,
            namespaces=self.flags.namespaces,
            stop_flag=self.stopping,
        )

    async def _first(self, work: Any) -> bool:
        """True once the work is done, False if we are to stop before."""
        doing = asyncio.create_task(work)
        stopping = asyncio.create_task(self.stopping.wait())
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (doing, stopping):
            task.cancel()
        await asyncio.gather(doing, stopping, return_exceptions=True)
        return doing.done() and not doing.cancelled()

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.ConnectionInfo:
            return _connection(self._config)

        @kopf.on.event(ROLLOUT.group, ROLLOUT.version, ROLLOUT.plural, registry=registry)
        async def changed(event: Any, **_: Any) -> None:
            self.supervisor.seen(event["type"], dict(event["object"]))

        @kopf.on.cleanup(registry=registry)
        async def ending(**_: Any) -> None:
            await self.supervisor.stop()  # else kopf waits for its tasks, which never end by themselves

        return registry

    def stop_on_signals(self, which: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)) -> None:
        """End in order on SIGTERM and Ctrl-C."""
        loop = asyncio.get_running_loop()
        for one in which:
            loop.add_signal_handler(one, self.stopping.set)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # no watch of CRDs and namespaces, hence no right to it
    settings.posting.enabled = False  # we tell what happens, once
    settings.watching.server_timeout = 240
    return settings


def _connection(config: Any) -> kopf.ConnectionInfo:
    token = config.get_api_key_with_prefix("authorization")
    scheme, _, secret = (token or "").partition(" ")
    return kopf.ConnectionInfo(
        server=config.host,
        ca_path=config.ssl_ca_cert,
        insecure=not config.verify_ssl,
        scheme=scheme if secret else None,
        token=secret or token or None,
        certificate_path=config.cert_file,
        private_key_path=config.key_file,
    )
