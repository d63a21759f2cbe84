"""Starting the alert receiver."""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from serinus import http
from serinus.access import Access
from serinus.audit import AuditLog
from serinus.errors import SerinusError
from serinus.home import find_home
from serinus.kfp import HttpServer, read_parameters
from serinus.masking import mask_logs
from serinus.program import duration_of, run_program
from serinus.registry.alerting import ask_for_review
from serinus.tls import check_url, server_files
from serving.retrain.http import build_app
from serving.retrain.kfp import KfpRunner
from serving.retrain.policy import Limits
from serving.retrain.runner import LocalRunner, Runner, read_command
from serving.retrain.service import HttpNotifier, Receiver
from serving.retrain.store import FileStore

app = typer.Typer(add_completion=False)


@app.command()
def retrain(
    command: Annotated[
        str,
        typer.Option(help="What a run executes, without a shell; {model}, {reason}, {run} are filled in."),
    ] = "",
    home: Annotated[
        Path | None, typer.Option(help="Installation directory: audit log, run logs, ledger.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Serve HTTPS: PEM file of the certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="Let in only clients with a certificate of these authorities.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 lets the kernel choose.")] = 0,
    model: Annotated[list[str] | None, typer.Option(help="Retrain only this model; may be repeated.")] = None,
    cooldown: Annotated[
        str, typer.Option(help="From the end of a model's run to the start of its next.")
    ] = "1h",
    in_flight: Annotated[int, typer.Option(min=1, help="Runs at a time, of all models.")] = 1,
    per_day: Annotated[int, typer.Option(min=1, help="Runs of a model in 24 hours.")] = 4,
    repeat_within: Annotated[
        str, typer.Option(help="A cause that returns within this time of its run calls a person.")
    ] = "7d",
    timeout: Annotated[str, typer.Option(help="A run that takes longer is ended and has failed.")] = "1h",
    notify_url: Annotated[str | None, typer.Option(help="POST a notice here after a successful run.")] = None,
    kfp_host: Annotated[
        str, typer.Option(help="Run on this Kubeflow Pipelines server instead of a command.")
    ] = "",
    kfp_pipeline: Annotated[str, typer.Option(help="Its pipeline, by display name.")] = "serinus-training",
    kfp_version: Annotated[str, typer.Option(help="Version of the pipeline (default: the latest).")] = "",
    kfp_experiment: Annotated[str, typer.Option(help="Experiment of the runs; made if missing.")] = "serinus",
    kfp_namespace: Annotated[str, typer.Option(help="Namespace, where the server has several users.")] = "",
    kfp_service_account: Annotated[str, typer.Option(help="Service account of the run's pods.")] = "",
    kfp_token: Annotated[
        Path | None, typer.Option(help="File with the bearer token; read anew for each request.")
    ] = None,
    kfp_parameter: Annotated[
        list[str] | None,
        typer.Option(help="name=value of the run; {model}, {reason}, {run} are filled in; may be repeated."),
    ] = None,
    kfp_poll: Annotated[str, typer.Option(help="How often a run is looked at.")] = "10s",
) -> None:
    """Turn drift alerts into pipeline runs.

    Alertmanager (or the drift monitor itself) POSTs its webhook to
    /api/v1/alerts. A firing alert labelled retrain="true" starts the command
    once; repetitions, cooldown and caps hold others back, and a cause that
    returns after its run calls a person, who lets it go on by
    POST /api/v1/release {"model": …, "by": …}. Every turn is in the audit log.
    """
    mask_logs()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    tls = server_files(tls_cert, tls_key, tls_client_ca)
    listener = http.bind(host, port, "SRN-RETRAIN-004")
    installation = find_home(home)
    limits = Limits(
        cooldown=_duration("--cooldown", cooldown),
        in_flight=in_flight,
        per_day=per_day,
        repeat_within=_duration("--repeat-within", repeat_within),
        models=tuple(model or ()),
    )
    limit = _duration("--timeout", timeout)
    runner: Runner
    if bool(command) == bool(kfp_host):
        raise SerinusError(
            "SRN-RETRAIN-006",
            "give either --command or --kfp-host" + (", not both" if command else ""),
            where="command line",
            hint="--command runs the pipeline on this machine, --kfp-host on a Kubeflow Pipelines server.",
        )
    if kfp_host:
        runner = KfpRunner(
            HttpServer(kfp_host, kfp_token, flag="--kfp-host"),
            kfp_pipeline,
            version=kfp_version,
            experiment=kfp_experiment,
            parameters=read_parameters(kfp_parameter or [], flag="--kfp-parameter"),
            namespace=kfp_namespace,
            service_account=kfp_service_account,
            poll=_duration("--kfp-poll", kfp_poll),
            timeout=limit,
        )
    else:
        runner = LocalRunner(read_command(command), installation.runs / "retrain", limit)
    if notify_url:
        check_url(notify_url, "--notify-url")
    receiver = Receiver(
        store=FileStore(installation.platform / "retrain.json"),
        runner=runner,
        audit=AuditLog(installation.audit),
        limits=limits,
        notifier=HttpNotifier(notify_url) if notify_url else None,
        review=partial(ask_for_review, installation),
        door=lambda who, model: Access(installation).require(who, "retrain.release", model),
    )
    http.end_with_zero()
    try:
        http.serve(build_app(receiver), listener, tls=tls)
    finally:
        receiver.stop()


def main() -> None:
    """Run the program; an error that a user can meet is one line on stderr and exit code 2."""
    run_program(app)


def _duration(flag: str, text: str) -> float:
    return duration_of(flag, text, code="SRN-RETRAIN-005", hint="For example 90s, 1h, 7d.")
