"""The process: load and prove the bundle, listen, answer, drain."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from serinus.bundle import Keyring, open_bundle
from serinus.errors import SerinusError
from serinus.features.online import OnlineStore
from serinus.home import Home, find_home
from serinus.scoring import Scorer
from serinus.tls import check_plain, check_url, rotating, server_files
from serving.scorer.app import App
from serving.scorer.config import Settings
from serving.scorer.drain import Drain
from serving.scorer.entity_setup import open_enricher, open_store
from serving.scorer.identity import Identity
from serving.scorer.intake import Intake
from serving.scorer.listener import Limits, Listener
from serving.scorer.metrics import Metrics
from serving.scorer.metrics_port import MetricsApp
from serving.scorer.payloads import NoPayloads, PayloadPoster
from serving.scorer.recording import Recording
from serving.scorer.reports import Reports
from serving.scorer.service import Service
from serving.scorer.subjects import follow, learn
from serving.scorer.warm import warm
from serving.scorer.workers import Workers

if TYPE_CHECKING:
    from serving.scorer.grpc.server import GrpcServer

# How long a thread that scores a batch may keep the interpreter from one that answers a row.
_SWITCH = 0.0005


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code.

    Raises:
        SerinusError: ``SRN-SCORER-001`` the port is taken, ``-002`` the address
            cannot be used, ``-004`` a wrong payload URL, or what the bundle, the
            self-test or the logs raise; nothing was answered then.
    """
    tls = server_files(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    if tls is None:
        check_plain(settings.host, "the scorer", tell=_report)
    else:
        tls.context()  # before a bundle is loaded
    listener = _bind(
        settings.host, settings.port, shared=settings.reuse_port
    )  # first: a bundle takes a second
    sys.setswitchinterval(_SWITCH)
    home = find_home(settings.home)
    scorer = _load(settings, home)
    store = open_store(settings, scorer.contract, os.environ, _report)
    return asyncio.run(_run(settings, home, scorer, store, listener), loop_factory=uvloop.new_event_loop)


def _bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound socket that does not listen yet, so that nobody connects before the self-test."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
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
    trusted = None if settings.untrusted else Keyring.load(settings.keys or home.keys)
    scorer = Scorer(open_bundle(settings.bundle, trusted=trusted), budget=settings.model_memory)
    scorer.self_test()
    return scorer


async def _run(
    settings: Settings, home: Home, scorer: Scorer, store: OnlineStore | None, listener: socket.socket
) -> int:
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
    recording = Recording(settings, home, identity, _report, scorer.contract.privacy)
    subjects = recording.subjects
    recorder = recording.recorder
    enricher = None
    if store is not None:
        enricher = open_enricher(
            settings, store, scorer, metrics, identity, now=time.time, report=_report, subjects=subjects
        )
    poster = None
    if settings.payload_url is not None:
        check_url(settings.payload_url, "--payload-url", tell=_report)
        source = f"{'http' if settings.tls_cert is None else 'https'}://{settings.host}:{port}/"
        poster = PayloadPoster(settings.payload_url, identity, source=source, dropped=metrics.dropped)
    workers = Workers(threads=settings.batch_threads)
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
        enricher=enricher,
        intake=None if enricher is None else Intake(enricher),
        workers=workers,
        subjects=subjects,
        payload_mode=settings.payload_mode,
        report=_report,
    )
    app = App(
        service,
        max_body=settings.max_body,
        max_wait=settings.max_wait,
        polled=asyncio.get_running_loop().time,  # uvloop's is that of its last look at the sockets
    )
    tasks = [asyncio.create_task(recorder.run())]
    if poster is not None:
        tasks.append(asyncio.create_task(poster.run()))
    following = None
    if subjects is not None:
        await learn(subjects, store)  # before anybody's history is read
        following = asyncio.create_task(follow(subjects, store, _report, metrics.keys_put_back))
    rpc = await _listen_for_grpc(settings, service, app)
    http = Listener(app, Limits(body=settings.max_body, connections=settings.max_connections))
    tls = server_files(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    await http.start(listener, tls=None if tls is None else rotating(tls, _report))
    drain = Drain(
        app,
        http,
        rpc,
        delay=settings.drain_delay,
        grace=settings.drain_grace,
        timeout=settings.drain_timeout,
    )
    ports = {"port": port} if rpc is None else {"port": port, "grpc_port": rpc.port}
    scraped = None
    if settings.metrics_port is not None:
        scraped, ports["metrics_port"] = await _listen_for_scrapes(settings, settings.metrics_port, app)
    warm(scorer, identity)
    _settle()
    say(ready=True, **ports, pid=os.getpid(), **identity.tags)
    await drain.wait()
    if scraped is not None:
        await scraped.drain(0, 0)
    workers.close()

    if following is not None:
        await _cancel(following)
    for task in tasks[:1]:
        await _cancel(task)
    kept = await _keep(recording, store)
    if poster is not None:
        await poster.flush(min(2.0, settings.drain_timeout))
        await _cancel(tasks[1])
    return 0 if kept else 1


async def _keep(recording: Recording, store: OnlineStore | None) -> bool:
    """Write what must outlive the process; False, and reported, where something of it could not be."""
    kept, recorder = True, recording.recorder
    try:
        await asyncio.to_thread(recorder.write)
    except SerinusError as error:
        _report(error)
        _report(_lost(recorder.pending, error))
        kept = False
    recording.close()
    if store is not None:
        try:
            await store.close()
        except SerinusError as error:
            _report(error)
            kept = False
    return kept


async def _listen_for_scrapes(settings: Settings, port: int, app: App) -> tuple[Listener, int]:
    bound = _bind(settings.host, port)
    made = Listener(MetricsApp(app.metrics, settings.metrics_path, app.stamp), Limits(connections=16))
    port = int(bound.getsockname()[1])
    try:
        await made.start(bound, 16)
    except OSError as error:
        raise _cannot_listen(settings.host, port, error) from error
    return made, port


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
        tls=server_files(settings.tls_cert, settings.tls_key, settings.tls_client_ca),
    )


def _settle() -> None:
    """What was built so far lives as long as the process: the collector need not look
    at it again, which takes pauses out of the tail."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def say(**fields: Any) -> None:
    """One JSON line on stdout, for whoever started this process."""
    sys.stdout.write(msgspec.json.encode(fields).decode() + "\n")
    sys.stdout.flush()


_report = Reports()


def _lost(count: int, cause: SerinusError) -> SerinusError:
    return SerinusError(
        "SRN-SCORER-003",
        f"{count} answered decision(s) could not be logged before the end",
        where=cause.where,
        hint="Mend the cause named before; the answers stand in the payload log, if one is kept.",
    )
