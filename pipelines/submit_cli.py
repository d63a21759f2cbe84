"""``serinus pipeline submit``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from serinus.cli.options import Output
from serinus.errors import SerinusError


def submit(
    host: Annotated[
        str, typer.Option(help="The KFP server's API, such as http://ml-pipeline.kubeflow:8888.")
    ],
    pipeline: Annotated[Path, typer.Option(help="What `serinus pipeline compile` wrote.")],
    contract: Annotated[Path, typer.Option(help="Data contract (YAML): what the columns mean.")],
    data: Annotated[str, typer.Option(help="Records: s3://bucket/key, or a path inside the pods.")],
    config: Annotated[
        Path | None, typer.Option(help="Training config (YAML). Without it the defaults hold.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Register under this name instead of the contract's.")
    ] = None,
    champion: Annotated[
        str,
        typer.Option(
            metavar="URI",
            help="Bundle of the champion to compare with, as `serinus bundle push` printed it: s3://bucket/path/digest.",
        ),
    ] = "",
    cron: Annotated[
        str, typer.Option(help="Make it a recurring run: '0 3 * * 1' is Mondays at 3, mostly UTC.")
    ] = "",
    alert: Annotated[
        Path | None,
        typer.Option(help="Start it for the alerts in this webhook of Alertmanager (- is stdin)."),
    ] = None,
    run_name: Annotated[
        str,
        typer.Option(help="Name on the server (default: from the model, the version and the parameters)."),
    ] = "",
    again: Annotated[
        bool, typer.Option("--again", help="Start another run although this one has been started before.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of a recurring run of this name.")
    ] = False,
    parameter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Another parameter; may be repeated.")
    ] = None,
    experiment: Annotated[str, typer.Option(help="Experiment of the runs; made if missing.")] = "serinus",
    namespace: Annotated[str, typer.Option(help="Namespace, where the server has several users.")] = "",
    service_account: Annotated[str, typer.Option(help="Service account of the run's pods.")] = "",
    pipeline_root: Annotated[
        str, typer.Option(help="Where artefacts go, s3://bucket/path (default: the server's).")
    ] = "",
    token: Annotated[
        Path | None, typer.Option(help="File with the bearer token; read anew for each request.")
    ] = None,
    allow_tag: Annotated[
        bool, typer.Option("--allow-tag", help="Take a pipeline whose image is given by tag.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the run's end; its steps go to stderr.")
    ] = False,
    timeout: Annotated[str, typer.Option(help="How long to wait; the run goes on afterwards.")] = "6h",
    poll: Annotated[str, typer.Option(help="How often to look.")] = "10s",
    patience: Annotated[str, typer.Option(help="How long the server may be unreachable.")] = "2m",
    identity: Annotated[
        str | None, typer.Option("--as", help="Who builds ($SERINUS_USER, else the login).")
    ] = None,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="json: the last line of stdout is a JSON object.")
    ] = Output.text,
) -> None:
    """Start the pipeline on a Kubeflow Pipelines server.

    The pipeline is published under a version named by its content. What has been
    submitted before is found instead of started again: the same run, recurring
    run, or run for an alert. Recurring runs run one at a time and do not catch up.

    Exit codes: 0 started, found, or (with --wait) succeeded; 1 failed or refused;
    2 wrong usage; 130 interrupted, and the run goes on.

    Example: serinus pipeline submit --host http://ml-pipeline.kubeflow:8888 --pipeline serinus-training.yaml
    --contract models/fraud/contract.yaml --data s3://records/2026-11.parquet --wait
    """
    if cron and (alert is not None or wait or again):
        raise typer.BadParameter("goes with neither --alert, --again nor --wait", param_hint="--cron")
    if replace and not cron:
        raise typer.BadParameter("goes with --cron", param_hint="--replace")
    times = {flag: _seconds(flag, text) for flag, text in
             (("--timeout", timeout), ("--poll", poll), ("--patience", patience))}  # fmt: skip
    try:
        done = _submit(
            {
                "host": host, "token": token, "namespace": namespace, "pipeline": pipeline, "allow_tag": allow_tag,
                "contract": contract, "data": data, "config": config, "name": name, "parameter": parameter or [],
                "identity": identity, "experiment": experiment, "run_name": run_name, "alert": alert,
                "service_account": service_account, "pipeline_root": pipeline_root, "cron": cron, "again": again,
                "replace": replace, "wait": wait, "champion": champion,
            },
            times,
        )  # fmt: skip
    except SerinusError as error:
        if output is Output.json:
            typer.echo(json.dumps({"error": error.to_dict()}))
        typer.echo(f"serinus: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("serinus: stopped waiting; what was started goes on", err=True)
        raise typer.Exit(130) from None
    failed = [run for run in done if wait and run.state != "SUCCEEDED"]
    if output is Output.json:
        typer.echo(json.dumps({"submitted": [run.to_dict() for run in done]}))
    else:
        for run in done:
            typer.echo(
                f"{run.kind} {run.name}  {run.id}  {run.state}  ({'started' if run.created else 'found'})"
            )
    for run in failed:
        typer.echo(
            f"serinus: the run {run.name} ended as {run.state}{': ' + run.error if run.error else ''}",
            err=True,
        )
    if failed:
        raise typer.Exit(1)


def _submit(given: dict[str, Any], times: dict[str, float]) -> list[Any]:
    import time

    from components.config import load_config
    from pipelines import submit as action
    from pipelines.run import parts_of
    from serinus.contract import dump_contract, load_contract
    from serinus.identity import current_identity
    from serinus.kfp import HttpServer, KfpClient, read_parameters

    agreed, settings = load_contract(given["contract"]), load_config(given["config"])
    identity = settings.identity()
    if given["name"]:
        import msgspec

        settings = msgspec.structs.replace(settings, name=given["name"])
        identity = settings.identity()
    about = identity.name or agreed.name
    submission = action.Submission(
        compiled=action.read_compiled(given["pipeline"], allow_tag=given["allow_tag"]),
        about=about,
        parameters={
            "data": given["data"],
            "contract": json.dumps(dump_contract(agreed), separators=(",", ":")),
            **parts_of(settings),
            **({"champion_bundle": given["champion"]} if given["champion"] else {}),
            "by": current_identity(given["identity"]),
            **read_parameters(given["parameter"], flag="--parameter"),
        },
        experiment=given["experiment"],
        name=given["run_name"],
        service_account=given["service_account"],
        pipeline_root=given["pipeline_root"],
    )
    server = HttpServer(given["host"], given["token"])
    client = KfpClient(server, namespace=given["namespace"], patience=times["--patience"])
    if given["cron"]:
        return [action.submit_recurring(client, submission, given["cron"], replace=given["replace"])]
    if given["alert"] is None:
        runs = [action.submit_run(client, submission, again=given["again"])]
    else:
        runs = [
            action.submit_alert(client, submission, each, again=given["again"])
            for each in _alerts(given["alert"], about)
        ]
    if not given["wait"]:
        return runs
    return [
        action.follow(
            client,
            run,
            poll=times["--poll"],
            timeout=times["--timeout"],
            clock=time.monotonic,
            tell=lambda task, state, run=run: typer.echo(
                f"{run.name}  {task or 'run':<10} {state}", err=True
            ),
        )
        for run in runs
    ]


def _alerts(path: Path, about: str) -> list[Any]:
    """The alerts that ask for this model to be trained again; the others are said to be ignored."""
    from serinus.alerts import read_webhook

    if str(path) == "-":
        body = sys.stdin.buffer.read()
    else:
        try:
            body = path.read_bytes()
        except OSError as error:
            raise SerinusError(
                "SRN-RETRAIN-001",
                f"the webhook cannot be read: {error.strerror or error}",
                where=str(path),
                hint="Give a file with what Alertmanager's webhook sends (version 4), or - for stdin.",
            ) from error
    wanted: list[Any] = []
    for alert in read_webhook(body, where=f"--alert {path}").alerts:
        if not alert.firing:
            why = "it is resolved"
        elif not alert.wants_retraining:
            why = "it does not ask for retraining"
        elif alert.model != about:
            why = f"it is about {alert.model}, not {about}"
        else:
            wanted.append(alert)
            continue
        typer.echo(f"serinus: alert {alert.name} is ignored: {why}", err=True)
    return wanted


def _seconds(flag: str, text: str) -> float:
    from serinus.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=flag) from error
