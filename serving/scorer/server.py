"""The process: load and prove the bundle, listen, answer, drain."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import msgspec
import uvicorn
import uvloop

from serinus.bundle import Keyring, open_bundle
from serinus.errors import SerinusError
from serinus.home import Home, find_home
from serinus.scoring import Scorer
from serving.scorer.app import App
from serving.scorer.config import Settings
from serving.scorer.identity import Identity
from serving.scorer.metrics import Metrics
from serving.scorer.payloads import NoPayloads, PayloadPoster
from serving.scorer.recording import Recording
from serving.scorer.service import Service
from serving.scorer.workers import Workers

if TYPE_CHECKING:
    from serving.scorer.grpc.server import GrpcServer

# Longer than Istio's 60 s pool and Envoy's usual settings: whoever pools
# connections should be the one to close them, or it meets a reset.
_KEEP_ALIVE = 75


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code.

    Raises:
        SerinusError: ``SRN-SCORER-001`` the port is taken, ``-002`` the address
            cannot be used, ``-004`` a wrong payload URL, or what the bundle, the
            self-test or the logs raise; nothing was answered then.
    """
    listener = _bind(
        settings.host, settings.port
    )  # first: it fails in a millisecond, a bundle takes a second
    home = find_home(settings.home)
    scorer = _load(settings, home)
    return asyncio.run(_run(settings, home, scorer, listener), loop_factory=uvloop.new_event_loop)


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet, so that nobody connects before the self-test."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from error
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> SerinusError:
    if isinstance(error, socket.gaierror) or error.errno != errno.EADDRINUSE:
        return SerinusError(
            "SRN-SCORER-002",
            f"cannot listen there ({error.strerror or error})",
            where=f"{host}:{port}",
            hint="Give an address of this machine with --host, and a port above 1023 or the right to it.",
        )
    return SerinusError(
        "SRN-SCORER-001",
        "the port is in use by another program",
        where=f"{host}:{port}",
        hint="Stop that program, choose another --port, or give --port 0 to have a free one chosen.",
    )


def _load(settings: Settings, home: Home) -> Scorer:
    trusted = None if settings.untrusted else Keyring.load(home.keys)
    scorer = Scorer(open_bundle(settings.bundle, trusted=trusted))
    scorer.self_test()
    scorer.score(
        scorer.bundle.golden_rows[:1], "always"
    )  # the first explanation is slow; nobody should wait for it
    return scorer


async def _run(settings: Settings, home: Home, scorer: Scorer, listener: socket.socket) -> int:
    try:
        listener.listen(2048)
    except OSError as error:
        raise _cannot_listen(settings.host, settings.port, error) from error
    port = int(listener.getsockname()[1])
    identity = Identity(
        model=settings.model or scorer.name,
        version=scorer.version,
        digest=scorer.digest,
        predictor=settings.predictor,
        deployment=settings.deployment,
        namespace=settings.namespace,
    )
    features = scorer.vectorizer.names
    metrics = Metrics(identity, [features[k] for k in scorer.vectorizer.categorical])
    recording = Recording(settings, home, identity, _report)
    recorder = recording.recorder
    poster = None
    if settings.payload_url is not None:
        source = f"http://{settings.host}:{port}/"
        poster = PayloadPoster(settings.payload_url, identity, source=source, dropped=metrics.dropped)
    service = Service(
        scorer,
        identity,
        metrics,
        recorder,
        poster or NoPayloads(),
        recording.feedback,
        now=time.time,
        explain=settings.explain,
        sample=settings.explain_sample,
        workers=Workers(shed=metrics.shed),
        payload_mode=settings.payload_mode,
        report=_report,
    )
    app = App(service, max_body=settings.max_body)
    tasks = [asyncio.create_task(recorder.run())]
    if poster is not None:
        tasks.append(asyncio.create_task(poster.run()))
    rpc = await _listen_for_grpc(settings, service, app)
    server = _Server(app, settings, rpc)
    ports = {"port": port} if rpc is None else {"port": port, "grpc_port": rpc.port}
    say(ready=True, **ports, pid=os.getpid(), **identity.tags)
    await server.serve(sockets=[listener])
    await server.grpc_stopped()

    for task in tasks[:1]:
        await _cancel(task)
    try:
        await asyncio.to_thread(recorder.write)
    except SerinusError as error:
        _report(error)
        _report(_lost(recorder.pending, error))
        return 1
    finally:
        recording.close()
    if poster is not None:
        await poster.flush(min(2.0, settings.drain_timeout))
        await _cancel(tasks[1])
    return 0


async def _listen_for_grpc(settings: Settings, service: Service, app: App) -> GrpcServer | None:
    if settings.grpc_port is None:
        return None
    from serving.scorer.grpc.server import GrpcServer  # grpcio is 20 MB that plain HTTP need not load

    return await GrpcServer.start(
        service,
        lambda: app.ready,
        host=settings.host,
        port=settings.grpc_port,
        max_message=settings.max_body,
    )


class _Server(uvicorn.Server):
    """uvicorn with a drain of our own: its exit by the caught signal would not be 0."""

    def __init__(self, app: App, settings: Settings, rpc: GrpcServer | None) -> None:
        self._rpc = rpc
        self._drain_timeout = settings.drain_timeout
        self._rpc_stopping: asyncio.Task[None] | None = None
        self._app = app
        self._grace = settings.drain_grace
        self._draining: asyncio.Task[None] | None = None
        super().__init__(
            uvicorn.Config(
                app,  # pyright: ignore[reportArgumentType]  its own ASGI types are closed TypedDicts
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=max(1, round(settings.drain_timeout)),
                backlog=2048,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What was built so far lives as long as the process: the collector
        # need not look at it again, which takes pauses out of the tail.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """SIGTERM and SIGINT drain; a second one does not wait any longer."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
                # The log is being flushed: that is bounded, and not to be cut short.
                signal.signal(number, signal.SIG_IGN)

    def _signalled(self) -> None:
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain())
        else:
            self.should_exit = self.force_exit = True

    async def _drain(self) -> None:
        """Accept no connection, close each with its next answer, then shut down."""
        self._app.draining = True
        if self._rpc is not None:
            self._rpc.draining()
            self._rpc_stopping = asyncio.create_task(self._rpc.stop(self._grace, self._drain_timeout))
        for server in getattr(self, "servers", []):
            server.close()
        deadline = time.monotonic() + self._grace
        while self.server_state.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        self.should_exit = True

    async def grpc_stopped(self) -> None:
        """Wait until gRPC's open calls have ended too; a second signal has them cut off."""
        if self._rpc is None:
            return
        if self._rpc_stopping is not None and not self.force_exit:
            await self._rpc_stopping
        else:
            await self._rpc.stop(0, 0)


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def say(**fields: Any) -> None:
    """One JSON line on stdout, for whoever started this process."""
    sys.stdout.write(msgspec.json.encode(fields).decode() + "\n")
    sys.stdout.flush()


def _report(error: SerinusError) -> None:
    sys.stderr.write(msgspec.json.encode({"level": "error", **error.to_dict()}).decode() + "\n")
    sys.stderr.flush()


def _lost(count: int, cause: SerinusError) -> SerinusError:
    return SerinusError(
        "SRN-SCORER-003",
        f"{count} answered decision(s) could not be logged before the end",
        where=cause.where,
        hint="Mend the cause named before; the answers stand in the payload log, if one is kept.",
    )
