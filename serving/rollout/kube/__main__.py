"""``python -m serving.rollout.kube``: the controller of ModelRollouts."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import uuid
from pathlib import Path
from typing import Annotated

import typer

from serinus.access import built_in, load_policy
from serinus.errors import SerinusError
from serinus.kube.api import configuration
from serinus.masking import mask_logs
from serinus.program import duration_of, run_program
from serinus.tls import check_plain, check_url

from .operator import Controller, Flags
from .rollout import Settings
from .traffic import Pace

app = typer.Typer(add_completion=False)


@app.command()
def controller(
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            help="Serve this namespace only; may be repeated (default: all).", envvar="SERINUS_NAMESPACES"
        ),
    ] = None,
    prometheus: Annotated[
        str | None,
        typer.Option(
            help="Read counters here, as http://prometheus.monitoring:9090 (default: from the pods).",
            envvar="SERINUS_PROMETHEUS",
        ),
    ] = None,
    interval: Annotated[str, typer.Option(help="Time between looks at the counters.")] = "5s",
    checkpoint: Annotated[
        str, typer.Option(help="Time between writes of the status while only counts change.")
    ] = "15s",
    settle: Annotated[
        str,
        typer.Option(
            help="Time that Istio may take to tell every gateway of a change: a candidate's first request waits for it,"
            " and so does the removal of who lost its requests."
        ),
    ] = "2s",
    channels: Annotated[
        Path | None,
        typer.Option(help="Directory with one file per notification channel, holding its URL."),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="Access policy: approvals by the model's tier, overrides (default: the built-in one)."
        ),
    ] = None,
    lease_namespace: Annotated[
        str, typer.Option(help="Where the lease lies that says which replica acts.", envvar="POD_NAMESPACE")
    ] = "default",
    lease_name: Annotated[str, typer.Option(help="The lease's name.")] = "serinus-rollout",
    identity: Annotated[
        str | None,
        typer.Option(help="This replica's name (default: the host's, made unique).", envvar="POD_NAME"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address of the pages below.")] = "0.0.0.0",
    health_port: Annotated[int, typer.Option(help="Port of /healthz and /readyz.")] = 8080,
    metrics_port: Annotated[int, typer.Option(help="Port of /metrics.")] = 9090,
    kubeconfig: Annotated[
        str | None,
        typer.Option(help="How to reach the cluster (default: the pod's account, else kubectl's way)."),
    ] = None,
    context: Annotated[str | None, typer.Option(help="Which context of the kubeconfig.")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Drive ModelRollouts: give a candidate traffic by evidence, promote it or take it out.

    Run two replicas: one acts, the other waits for its lease. SIGTERM ends it
    where it is; its successor goes on from the resources' status.
    Exit code 0 after a signal, 1 after a lost lease (to be started again), 2 with
    the reason if it cannot start.
    """
    mask_logs()
    logging.basicConfig(
        stream=sys.stderr,
        level=log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    if channels is not None and not channels.is_dir():
        raise SerinusError(
            "SRN-ROLLOUT-010",
            f"{channels} is no directory",
            where="--channels",
            hint="Mount the Secret with the channels there, or leave the flag out.",
        )
    if prometheus is None:
        check_plain("the models' pods", "reading their metrics pages (no --prometheus)")
    else:
        check_url(prometheus, "--prometheus")
    settings = Settings(
        interval=_duration("--interval", interval),
        checkpoint=_duration("--checkpoint", checkpoint),
        pace=Pace(settle=_duration("--settle", settle)),
        prometheus=prometheus,
        channels=channels,
        policy=load_policy(policy) if policy is not None else built_in(),
    )
    flags = Flags(
        namespaces=tuple(namespace or ()),
        lease_namespace=lease_namespace,
        lease_name=lease_name,
        identity=identity or f"{socket.gethostname()}-{uuid.uuid4().hex[:6]}",
        host=host,
        health_port=health_port,
        metrics_port=metrics_port,
    )
    config = configuration(kubeconfig, context)
    raise typer.Exit(0 if asyncio.run(_run(config, flags, settings)) else 1)


async def _run(config: object, flags: Flags, settings: Settings) -> bool:
    made = Controller(config, flags, settings)
    made.stop_on_signals()
    return await made.run()


def _duration(flag: str, text: str) -> float:
    return duration_of(flag, text, code="SRN-ROLLOUT-010", hint="A number and a unit: 500ms, 5s, 1m.")


def main() -> None:
    """Run the program; an error that a user can meet is one line on stderr and exit code 2."""
    run_program(app)


if __name__ == "__main__":
    os.umask(0o077)
    # kopf calls itself after the user, and the number that a container runs as has no name.
    os.environ.setdefault("USER", "serinus")
    main()
