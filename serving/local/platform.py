"""The embedded platform: Envoy, scorers, sidecars and the rollout engine, in one event loop.

Every program is a child process; the engine is a task of this one. One port
serves clients in both protocols. Whatever ends this process, by ``stop``, a
signal or ``kill -9``, no child outlives it for long (see ``guardian``).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from serinus.bundle import Bundle
from serinus.errors import SerinusError
from serinus.home import Home, atomic_write
from serinus.identity import current_identity
from serinus.retelling import catalogue_keeper
from serving.rollout.adapters.envoy import EnvoyTraffic
from serving.rollout.status import Routes

from . import rollouts
from .desk import Notice, RolloutDesk
from .guardian import VARIABLE, sweep
from .page import Page
from .predictors import LocalPredictors, Scorer, Target
from .proxy import Proxy
from .sidecars import Sidecar
from .targets import first, note_served, resolve, tell_by_hand

log = logging.getLogger("serinus.platform")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How the platform runs.

    ``port`` 0 lets the kernel choose. ``timeout`` is Envoy's limit on a request,
    ``interval`` the time between the engine's looks, both in seconds. ``retrain``
    is the pipeline's command, handed to the retraining receiver.
    """

    host: str = "127.0.0.1"
    port: int = 0
    timeout: float = 2.0
    interval: float = 1.0
    explain: str = "adverse"
    drift: bool = False
    drift_window: int = 500
    drift_flags: tuple[str, ...] = ()
    outcomes: bool = False
    outcomes_flags: tuple[str, ...] = ()
    retrain: str | None = None
    retrain_flags: tuple[str, ...] = ()
    scorer_command: tuple[str, ...] = (sys.executable, "-m", "serving.scorer")


class Platform(RolloutDesk):
    """See the module. Use from one event loop; ``stop`` it, or use it as ``async with``."""

    def __init__(
        self, home: Home, settings: Settings | None = None, on_notice: Callable[[Notice], None] | None = None
    ) -> None:
        self.settings = settings or Settings()
        self.directory = home.platform
        self.logs = self.directory / "logs"
        self.id = secrets.token_hex(8)
        self.drift: Sidecar | None = None
        self.retrain: Sidecar | None = None
        self.outcomes: Sidecar | None = None
        self.page = Page(home)
        self._catalogue = catalogue_keeper(home, os.environ | {VARIABLE: self.id})
        self.started_at = 0.0
        self._mark = {VARIABLE: self.id}
        self._lock: int | None = None
        self._guardian: asyncio.subprocess.Process | None = None
        self._proxy: Proxy | None = None
        self._proxy_task: asyncio.Task[None] | None = None
        self._follow: set[asyncio.Task[None]] = set()
        scorer = Scorer(
            home=home.root,
            logs=self.logs,
            mark=self._mark,
            command=self.settings.scorer_command,
            explain=self.settings.explain,
        )
        super().__init__(
            home,
            EnvoyTraffic(self.directory / "envoy", timeout=self.settings.timeout),
            LocalPredictors(scorer, on_address=self._moved, on_loss=self._lost),
            interval=self.settings.interval,
            on_notice=on_notice,
        )

    # --- life -------------------------------------------------------------------

    async def __aenter__(self) -> Platform:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, champion: str | Path | Bundle | None = None, model: str | None = None) -> None:
        """Start everything and wait until the client port answers.

        ``champion``: see ``targets.resolve``; by default whatever served last
        here, else the registry's champion.

        Raises:
            SerinusError: SRN-PLATFORM-001 port in use, -002 already running here,
                and what the bundle or a program has to say.
        """
        began = time.monotonic()
        self._take_lock()
        try:
            await self._start(champion, model)
        except BaseException:
            await self.stop()
            raise
        self.started_at = time.time()
        log.info("the platform is up after %.2f s: %s", time.monotonic() - began, self.url)

    async def _start(self, champion: str | Path | Bundle | None, model: str | None) -> None:
        settings = self.settings
        previous = None if champion is not None else self._previous(model)
        target = previous or (
            first(self.home, model) if champion is None else resolve(self.home, champion, model)
        )
        if champion is not None:
            tell_by_hand(self.home, target, by=current_identity())
        self.champion = target
        (self.directory / "envoy").mkdir(parents=True, exist_ok=True)
        await self._start_guardian()
        await self.page.start()
        await self._catalogue.start()
        await self._start_sidecars(target)
        if self.drift:
            scorer = msgspec.structs.replace(self.predictors.scorer, payload_url=f"{self.drift.url}/")
            self.predictors.scorer = scorer
        self.traffic.write(Routes(stable=target.name))
        self.predictors.targets[target.name] = target
        await self.predictors.start(target.name)
        self._proxy = await Proxy.start(
            self.directory / "envoy",
            host=settings.host,
            port=settings.port,
            log=self.logs / "envoy.log",
            mark=self._mark,
        )
        self.traffic.admin_url = self._proxy.admin_url
        await self.predictors.ready(target.name)
        # Only now is a death worth a restart: one that cannot start at all is an error to be told.
        self.predictors.keep(target.name)
        await self._routed(Routes(stable=target.name))
        self._proxy_task = asyncio.create_task(self._watch_proxy())
        self._remember()
        if champion is not None:
            for problem in note_served(self.home, target, by=current_identity()):
                # It answers already: the registry must not stop that, but it must be heard.
                log.error("the registry did not follow: %s", problem)
        await self._resume(target)

    async def stop(self) -> None:
        """Take everything down; returns when no process of the platform is left."""
        if self._proxy_task is not None:
            self._proxy_task.cancel()
        for task in self._follow:
            task.cancel()
        if self.rollout is not None:
            await self.rollout.close()
        if self._proxy is not None:
            await self._proxy.child.stop(grace=5.0)
            self._proxy = None
        await self.predictors.close()
        await self._catalogue.stop()
        await self.page.stop()
        for sidecar in self.sidecars():
            await sidecar.stop()
        await self.traffic.close()
        # Grandchildren too: a pipeline that the retraining receiver had begun.
        await asyncio.to_thread(sweep, self.id)
        if self._guardian is not None and self._guardian.stdin is not None:
            with contextlib.suppress(ConnectionError):
                self._guardian.stdin.write(b"bye\n")
                self._guardian.stdin.close()
            await self._guardian.wait()
            self._guardian = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --- what is up --------------------------------------------------------------

    @property
    def mark(self) -> dict[str, str]:
        """The environment that marks a process as this platform's, for programs started beside it."""
        return self._mark

    @property
    def url(self) -> str:
        """Where clients send requests, in both protocols."""
        assert self._proxy is not None
        return f"http://{self.settings.host}:{self._proxy.port}"

    @property
    def admin_url(self) -> str:
        """Envoy's admin port, on loopback."""
        assert self._proxy is not None
        return self._proxy.admin_url

    def sidecars(self) -> tuple[Sidecar, ...]:
        """The programs beside the scorers that were asked for."""
        return tuple(s for s in (self.drift, self.retrain, self.outcomes) if s is not None)

    def processes(self) -> dict[str, int]:
        """Process ids by program."""
        found = {f"scorer {name}": pid for name, pid in self.predictors.processes().items()}
        if self._proxy is not None:
            found["envoy"] = self._proxy.child.pid
        for sidecar in self.sidecars():
            if sidecar.child is not None and sidecar.child.alive:
                found[sidecar.name] = sidecar.child.pid
        return found

    async def _resume(self, target: Target) -> None:
        """Take up a rollout that a previous life of the platform left unfinished."""
        last = rollouts.latest(self.home)
        if last is None:
            return
        record, status = last
        if status.ended or target.digest != rollouts.survivor(record, status).digest:
            return
        for known in (record.champion, record.candidate):
            self.predictors.targets.setdefault(known.name, known)
        await self._begin(record)

    # --- parts ----------------------------------------------------------------------

    def _previous(self, model: str | None) -> Target | None:
        """What served last here, if it is still there."""
        path = self.directory / "champion.json"
        with contextlib.suppress(OSError, msgspec.DecodeError, SerinusError):
            target = msgspec.json.decode(path.read_bytes(), type=Target)
            last = rollouts.latest(self.home)
            if last is not None and not last[1].ended and last[0].champion.digest == target.digest:
                target = rollouts.survivor(*last)
            if model in (None, target.model):
                return msgspec.structs.replace(resolve(self.home, target.bundle), name=target.name)
        return None

    def _crowned(self, target: Target) -> None:
        self._remember()
        # The monitor compares with the training data of the model that serves, and so do late labels
        # with its validation.
        for sidecar, command in ((self.drift, self._drift_command), (self.outcomes, self._outcomes_command)):
            if sidecar is not None:
                task = asyncio.create_task(sidecar.start(command(target)))
                self._follow.add(task)
                task.add_done_callback(self._follow.discard)

    def _lost(self, name: str, detail: str) -> None:
        self._notice(name, "ProcessLost", f"{name} {detail}")

    def _remember(self) -> None:
        atomic_write(self.directory / "champion.json", msgspec.json.encode(self.champion))

    def _take_lock(self) -> None:
        path = self.directory / "lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise SerinusError(
                "SRN-PLATFORM-002",
                f"a platform is already running here (process {owner})",
                where=str(self.directory),
                hint="Use it (serinus status), stop it (serinus down), or choose another --home.",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._lock = descriptor

    async def _start_guardian(self) -> None:
        script = str(Path(__file__).with_name("guardian.py"))
        self._guardian = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", script, self.id, stdin=asyncio.subprocess.PIPE
        )

    async def _start_sidecars(self, champion: Target) -> None:
        settings = self.settings
        if settings.retrain is not None:
            self.retrain = Sidecar("retrain", self.logs, self._mark)
            flags = ("--home", str(self.home.root), "--port", str(self.retrain.port))
            command = (sys.executable, "-m", "serving.retrain", *flags, "--command", settings.retrain)
            await self.retrain.start((*command, *settings.retrain_flags))
        if settings.drift:
            self.drift = Sidecar("drift", self.logs, self._mark)
            await self.drift.start(self._drift_command(champion))
        if settings.outcomes:
            self.outcomes = Sidecar("outcomes", self.logs, self._mark)
            self.predictors.beside = self._outcomes_page
            await self.outcomes.start(self._outcomes_command(champion))

    def _outcomes_page(self) -> dict[str, str]:
        """The page of outcomes for the rollout's guards, while it answers."""
        up = self.outcomes is not None and self.outcomes.ready
        return {"outcomes": f"{self.outcomes.url}/metrics"} if up and self.outcomes else {}

    def _outcomes_command(self, champion: Target) -> tuple[str, ...]:
        assert self.outcomes is not None
        flags = ["--bundle", champion.bundle, "--home", str(self.home.root), "--model", champion.model]
        flags += ["--port", str(self.outcomes.port)]
        return (sys.executable, "-m", "serving.outcomes", *flags, *self.settings.outcomes_flags)

    def _drift_command(self, champion: Target) -> tuple[str, ...]:
        assert self.drift is not None
        flags = ["--bundle", champion.bundle, "--home", str(self.home.root), "--model", champion.model]
        flags += ["--port", str(self.drift.port), "--window", str(self.settings.drift_window)]
        flags += ["--champion", champion.name, "--state", str(self.directory / "drift")]
        if self.retrain is not None:
            flags += ["--alert-url", f"{self.retrain.url}/api/v1/alerts"]
        return (sys.executable, "-m", "serving.drift", *flags, *self.settings.drift_flags)

    def _moved(self, name: str, address: tuple[str, int]) -> None:
        """A predictor answers at a new address: tell Envoy, if it gets traffic."""
        self.traffic.endpoints[name] = address
        rollout = self.rollout
        desired = rollout.status.desired if rollout and not rollout.status.ended else None
        stable = self.champion.name if self.champion else name
        self.traffic.write(desired or Routes(stable=stable))

    async def _routed(self, routes: Routes, timeout: float = 10.0) -> None:
        end = time.monotonic() + timeout
        while (back := await self.traffic.read_back(routes)).state != "verified":
            if time.monotonic() > end:
                raise SerinusError(
                    "SRN-PLATFORM-008",
                    f"Envoy did not take the routes: {back.detail}",
                    where=self.admin_url,
                    hint=f"See {self.logs / 'envoy.log'}.",
                )
            await asyncio.sleep(0.02)

    async def _watch_proxy(self) -> None:
        """Envoy is restarted on the same port when it dies: clients know no other."""
        while True:
            proxy = self._proxy
            assert proxy is not None
            await asyncio.wait({proxy.child.exited})
            self._notice("envoy", "ProcessLost", f"envoy {proxy.child.ending()}; restarting it")
            try:
                self._proxy = await Proxy.start(
                    self.directory / "envoy",
                    host=self.settings.host,
                    port=proxy.port,
                    log=self.logs / "envoy.log",
                    mark=self._mark,
                )
                self.traffic.admin_url = self._proxy.admin_url
            except SerinusError as problem:
                self._notice("envoy", "RestartFailed", str(problem))
                await asyncio.sleep(1.0)
