"""Starting the drift monitor."""

from __future__ import annotations

import logging
import socket
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from serinus import http
from serinus.bundle import Bundle, Keyring, open_bundle
from serinus.errors import SerinusError
from serinus.home import find_home
from serinus.masking import mask_logs
from serinus.program import duration_of, run_program
from serinus.tls import check_url, server_files
from serving.drift.alerting import Alerter, HttpOutbox
from serving.drift.detector import DetectorFactory, Library
from serving.drift.evaluate import baseline_of, build_yardstick
from serving.drift.forward import HttpChannel, Relay
from serving.drift.http import build_app
from serving.drift.mailbox import Mailbox
from serving.drift.measure import Measure
from serving.drift.monitor import Monitor
from serving.drift.plain import NumpyLibrary
from serving.drift.policy import Policy, spend
from serving.drift.replica import Replica
from serving.drift.report import Settings
from serving.drift.rows import RowReader
from serving.drift.second import Panel
from serving.drift.state import DirectoryStore

log = logging.getLogger("serinus.drift")
app = typer.Typer(add_completion=False)


class DetectorName(StrEnum):
    """Which library runs the two-sample tests."""

    alibi = "alibi"
    numpy = "numpy"
    none = "none"


class OnlineScope(StrEnum):
    """What online tests watch."""

    none = "none"
    score = "score"
    all = "all"


class Decider(StrEnum):
    """What an alert needs beside the effect."""

    evidence = "evidence"
    tests = "tests"


@app.command()
def drift(
    bundle: Annotated[Path, typer.Option(help="Bundle of the served model: its reference is the yardstick.")],
    model: Annotated[
        str, typer.Option(help="Model label in metrics and alerts (default: the bundle's name).")
    ] = "",
    home: Annotated[Path | None, typer.Option(help="Installation directory, for the trusted keys.")] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            envvar="SERINUS_KEYS",
            show_envvar=False,
            help="Directory of the trusted public keys, trusted-*.pem (default: $SERINUS_KEYS or <home>/keys).",
        ),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Serve HTTPS: PEM file of the certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="Let in only clients with a certificate of these authorities.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 lets the kernel choose.")] = 0,
    champion: Annotated[
        str, typer.Option(help="Predictor that the others are compared with (default: the first seen).")
    ] = "",
    look: Annotated[
        str,
        typer.Option(
            "--look",
            "--evaluation-every",
            help="Time between looks: evidence is taken, and alerts follow, this often.",
        ),
    ] = "5m",
    false_alarm_every: Annotated[
        str, typer.Option(help="Budget of the model: on average at most one false alarm in this time.")
    ] = "90d",
    min_effect: Annotated[float, typer.Option(min=0, help="PSI below which a shift is no drift.")] = 0.1,
    max_excess: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Rise in the share of missing, unknown, out-of-range or refused values that is bad.",
        ),
    ] = 0.005,
    tolerance: Annotated[
        float,
        typer.Option(min=0, help="Distance from the reference that is no evidence (chi-square; about PSI)."),
    ] = 0.005,
    dependence: Annotated[
        float,
        typer.Option(
            min=1, help="Rows after which the past says no more about a row; 1: rows are independent."
        ),
    ] = 1.0,
    state: Annotated[
        Path | None,
        typer.Option(help="Directory in which evidence survives a restart (default: it starts anew)."),
    ] = None,
    detector: Annotated[
        DetectorName,
        typer.Option(help="Two-sample tests beside the evidence: Alibi Detect, our own in numpy, or none."),
    ] = DetectorName.alibi,
    online: Annotated[
        OnlineScope,
        typer.Option(
            help="Tests row by row, with the bundle's thresholds: of score and decision, of all columns, or none."
        ),
    ] = OnlineScope.score,
    decides: Annotated[
        Decider,
        typer.Option(help="What an alert needs beside the effect: the evidence, or the window's tests."),
    ] = Decider.evidence,
    window: Annotated[
        int, typer.Option(min=100, help="Rows that the tests are given: a fair sample of a look or more.")
    ] = 500,
    max_age: Annotated[
        str,
        typer.Option(help="Test a window after this long even if it is not full; forget a silent predictor."),
    ] = "24h",
    p_value: Annotated[
        float | None, typer.Option(min=0, max=1, help="Alpha of a window's tests, instead of the budget's.")
    ] = None,
    forward: Annotated[
        str | None,
        typer.Option(
            help="Only count, by that monitor's bins, and post the counts to the monitor at this address, "
            "which judges them."
        ),
    ] = None,
    replica: Annotated[
        str, typer.Option(help="This program's name among those that forward (default: the host's name).")
    ] = "",
    alert_url: Annotated[
        str | None, typer.Option(help="POST alerts here, as Alertmanager would. Off where Alertmanager runs.")
    ] = None,
    queue: Annotated[
        int, typer.Option(min=1, help="Payloads that may wait; more are dropped and counted.")
    ] = 4096,
    untrusted: Annotated[bool, typer.Option(help="Accept a bundle without a trusted signature.")] = False,
) -> None:
    """Watch a model's payloads for drift.

    Receives CloudEvents as Seldon's payload logger sends them (POST /) and counts
    them in the bins of the bundle's reference. At each look the evidence of all
    looks is updated: for each feature and the score, for each predictor, and for
    a canary also against the champion at the same hour. Drift is active only on
    evidence (within the false-alarm budget) and effect (PSI). Bad data are told
    apart and never call for retraining.
    Metrics: GET /metrics, /prometheus. Verdicts with their numbers: GET /status.
    """
    mask_logs()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    tls = server_files(tls_cert, tls_key, tls_client_ca)
    listener = http.bind(host, port, "SRN-DRIFT-001")
    installation = find_home(home)
    trusted = None if untrusted else Keyring.load(keys or installation.keys)
    opened = open_bundle(bundle, trusted=trusted)
    policy = Policy(
        budget=_duration("--false-alarm-every", false_alarm_every),
        look=_duration("--look", look),
        decides=decides.value,
        min_psi=min_effect,
        max_excess=max_excess,
        tolerance=tolerance,
        dependence=dependence,
        p_value=p_value,
    )
    _check(policy, false_alarm_every, look)
    name = model or opened.name
    settings = Settings(
        name,
        opened.digest,
        window,
        _duration("--max-age", max_age),
        champion,
        opened.contract.decision.decline_at,
        replica or socket.gethostname(),
    )
    reader, mailbox = RowReader(opened.contract, opened.levels), Mailbox(queue)
    store = DirectoryStore(state / name) if state else None
    relay = Relay(HttpChannel(_url("--forward", forward))) if forward else None
    alerter = Alerter(settings.model, HttpOutbox(_url("--alert-url", alert_url))) if alert_url else None
    if relay:
        # It counts by its own bundle where the monitor cannot be asked yet, and tests nothing.
        relay.ask()
        measure = Measure(settings.digest, settings.threshold, reader, baseline_of(opened))
        monitor = Replica(settings, measure, policy, relay, mailbox=mailbox, store=store)
    else:
        library = _library(detector)
        monitor = Monitor(
            settings,
            build_yardstick(opened, _factory(library), window, policy),
            reader,
            policy,
            mailbox=mailbox,
            store=store,
            on_verdict=alerter.update if alerter else lambda evaluation: None,
            on_silence=alerter.end if alerter else lambda predictor: None,
            panel=_panel(opened, library, window, online),
        )
    http.end_with_zero()
    monitor.start()
    for beside in (alerter, relay):
        if beside:
            beside.start()
    log.info(
        "watching %s %s: a look each %s, at most one false alarm in %s, %d columns, tests by %s",
        settings.model, settings.digest[:19], look, false_alarm_every, len(monitor.measure.baseline.columns),
        "nobody here" if relay else detector.value,
    )  # fmt: skip
    try:
        http.serve(build_app(monitor), listener, {"model": settings.model, "digest": settings.digest}, tls)
    finally:
        monitor.stop()
        for beside in (alerter, relay):
            if beside:
                beside.stop()


def main() -> None:
    """Run the program; an error that a user can meet is one line on stderr and exit code 2."""
    run_program(app)


def _library(name: DetectorName) -> Library | None:
    if name is DetectorName.none:
        return None
    if name is DetectorName.numpy:
        return NumpyLibrary()
    # Seconds of import: paid here, before the ready line.
    from serving.drift.alibi import AlibiLibrary

    return AlibiLibrary()


def _factory(library: Library | None) -> DetectorFactory | None:
    if library is None:
        return None
    return lambda discrete, reference: library.levels(reference) if discrete else library.numbers(reference)


def _panel(bundle: Bundle, library: Library | None, window: int, online: OnlineScope) -> Panel | None:
    if library is None:
        return None
    if online is not OnlineScope.none and bundle.online is None:
        log.warning("the bundle holds no thresholds for tests row by row: build it again to have them")
    return Panel(bundle, library, window, online.value)


def _check(policy: Policy, false_alarm_every: str, look: str) -> None:
    try:
        spend(policy.budget, policy.look)
    except ValueError as error:
        raise SerinusError(
            "SRN-DRIFT-004",
            f"{false_alarm_every} and {look} make no budget: {error}",
            where="--false-alarm-every, --look",
            hint="Give a longer --false-alarm-every, e.g. 90d, or a shorter --look.",
        ) from error


def _url(flag: str, text: str) -> str:
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise SerinusError(
            "SRN-DRIFT-008",
            f"{text!r} is no URL to post to",
            where=flag,
            hint="For example http://monitor.models:8090.",
        )
    check_url(text, flag)
    return text


def _duration(flag: str, text: str) -> float:
    return duration_of(flag, text, code="SRN-DRIFT-004", hint="For example 5m, 24h, 90d.")
