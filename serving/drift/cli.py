"""Starting the drift monitor."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from serinus import http
from serinus.bundle import Keyring, open_bundle
from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.home import find_home
from serving.drift.alerting import Alerter, HttpOutbox
from serving.drift.detector import DetectorFactory, NumpyDetector
from serving.drift.evaluate import build_yardstick
from serving.drift.http import build_app
from serving.drift.mailbox import Mailbox
from serving.drift.monitor import Monitor, Settings
from serving.drift.policy import Policy, spend
from serving.drift.window import RowReader

log = logging.getLogger("serinus.drift")
app = typer.Typer(add_completion=False)


class DetectorName(StrEnum):
    """Which library runs the two-sample tests."""

    alibi = "alibi"
    numpy = "numpy"


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
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 lets the kernel choose.")] = 0,
    window: Annotated[int, typer.Option(min=100, help="Rows of a predictor that are judged together.")] = 500,
    max_age: Annotated[
        str, typer.Option(help="Judge a window after this long even if it is not full.")
    ] = "24h",
    false_alarm_every: Annotated[
        str, typer.Option(help="Budget: at most one false alarm in this time.")
    ] = "90d",
    evaluation_every: Annotated[
        str,
        typer.Option(
            help="How often a window fills at the expected traffic; with the budget it gives alpha."
        ),
    ] = "5m",
    p_value: Annotated[
        float | None, typer.Option(min=0, max=1, help="Alpha of a window, instead of the budget's.")
    ] = None,
    min_effect: Annotated[float, typer.Option(min=0, help="PSI below which a shift is no drift.")] = 0.1,
    max_excess: Annotated[
        float, typer.Option(min=0, max=1, help="Risen share of missing values that is bad.")
    ] = 0.05,
    detector: Annotated[
        DetectorName, typer.Option(help="alibi: Alibi Detect; numpy: no library.")
    ] = DetectorName.alibi,
    alert_url: Annotated[
        str | None, typer.Option(help="POST alerts here, as Alertmanager would. Off where Alertmanager runs.")
    ] = None,
    queue: Annotated[
        int, typer.Option(min=1, help="Payloads that may wait; more are dropped and counted.")
    ] = 4096,
    untrusted: Annotated[bool, typer.Option(help="Accept a bundle without a trusted signature.")] = False,
) -> None:
    """Watch a model's payloads for drift.

    Receives CloudEvents as Seldon's payload logger sends them (POST /), keeps a
    window per predictor and compares each with the bundle's reference. Drift is
    active only on evidence (p-value within the false-alarm budget) and effect
    (PSI). Bad data are told apart and never call for retraining.
    Metrics: GET /metrics, /prometheus. Verdicts with their numbers: GET /status.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    listener = http.bind(host, port, "SRN-DRIFT-001")
    installation = find_home(home)
    trusted = None if untrusted else Keyring.load(keys or installation.keys)
    opened = open_bundle(bundle, trusted=trusted)
    alpha = p_value if p_value is not None else _alpha(false_alarm_every, evaluation_every)
    policy = Policy(alpha=alpha, min_psi=min_effect, max_excess=max_excess)
    settings = Settings(model or opened.name, opened.digest, window, _duration("--max-age", max_age))
    yardstick = build_yardstick(opened, _factory(detector), window, policy)
    alerter = Alerter(settings.model, HttpOutbox(alert_url)) if alert_url else None
    monitor = Monitor(
        settings,
        yardstick,
        RowReader(opened.contract, opened.levels),
        policy,
        mailbox=Mailbox(queue),
        on_verdict=alerter.update if alerter else lambda evaluation: None,
    )
    http.end_with_zero()
    monitor.start()
    if alerter:
        alerter.start()
    log.info(
        "watching %s %s: alpha %.3g a window over %d tests, detector %s",
        settings.model, settings.digest[:19], policy.alpha, yardstick.tests, detector.value,
    )  # fmt: skip
    try:
        http.serve(build_app(monitor), listener, {"model": settings.model, "digest": settings.digest})
    finally:
        monitor.stop()
        if alerter:
            alerter.stop()


def main() -> None:
    """Run the program; an error that a user can meet is one line on stderr and exit code 2."""
    try:
        app()
    except SerinusError as error:
        typer.echo(f"serinus: {error}", err=True)
        raise SystemExit(2) from error


def _factory(name: DetectorName) -> DetectorFactory:
    if name is DetectorName.numpy:
        return NumpyDetector
    # Seconds of import: paid here, before the ready line.
    from serving.drift.alibi import AlibiDetector

    return AlibiDetector


def _alpha(false_alarm_every: str, evaluation_every: str) -> float:
    every = _duration("--evaluation-every", evaluation_every)
    period = _duration("--false-alarm-every", false_alarm_every)
    try:
        return spend(period, every)
    except ValueError as error:
        raise SerinusError(
            "SRN-DRIFT-004",
            f"{false_alarm_every} and {evaluation_every} make no budget: {error}",
            where="--false-alarm-every, --evaluation-every",
            hint="Give a longer --false-alarm-every, e.g. 90d, and the time in which a window fills.",
        ) from error


def _duration(flag: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise SerinusError(
            "SRN-DRIFT-004", str(error), where=flag, hint="For example 5m, 24h, 90d."
        ) from error
