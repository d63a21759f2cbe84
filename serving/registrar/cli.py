"""Starting the record keeper."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from serinus import http
from serinus.chain.lock import lock
from serinus.home import find_home
from serinus.kube.api import Api, configuration
from serinus.masking import mask_logs
from serinus.program import duration_of, run_program
from serinus.retelling import catalogue_keeper, lineage_keeper
from serinus.tls import server_files

from .book import HomeBook
from .follow import Desk, Follower
from .keeper import Keeper
from .pages import build_app
from .setup import Nobody, check_callers, door_of

app = typer.Typer(add_completion=False)


@app.command()
def records(
    home: Annotated[
        Path | None,
        typer.Option(help="Installation directory: registry, audit log (default: $SERINUS_HOME)."),
    ] = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            help="Follow this namespace only; may be repeated (default: all).", envvar="SERINUS_NAMESPACES"
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 lets the kernel choose.")] = 0,
    tls_cert: Annotated[Path | None, typer.Option(help="Serve HTTPS: PEM file of the certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="Let in only clients with a certificate of these authorities.")
    ] = None,
    verify_every: Annotated[str, typer.Option(help="How often the whole audit log is verified.")] = "5m",
    kubeconfig: Annotated[
        str | None,
        typer.Option(help="How to reach the cluster (default: the pod's account, else kubectl's way)."),
    ] = None,
    context: Annotated[str | None, typer.Option(help="Which context of the kubeconfig.")] = None,
    caller: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMESPACE/NAME",
            help="ServiceAccount that may tell of versions (POST /v1/versions); may be repeated.",
        ),
    ] = None,
    token_audience: Annotated[
        str, typer.Option(help="What their tokens must be for (default: the API server's own audience).")
    ] = "",
    token_file: Annotated[
        Path | None,
        typer.Option(help="Who sends the token in this file may tell of versions too, without a cluster."),
    ] = None,
    token_caller: Annotated[str, typer.Option(help="What the audit log calls them.")] = "pipeline",
    keys: Annotated[
        Path | None,
        typer.Option(
            help="Public keys, trusted-*.pem, whose signatures count (default: $SERINUS_KEYS or <home>/keys).",
            envvar="SERINUS_KEYS",
            show_envvar=False,
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Follow a cluster's rollouts, or take versions only.")
    ] = True,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Keep the records of a cluster's rollouts: who, what, when, why, on which digest.

    Every turn of a ModelRollout, every approval, refusal and command becomes one
    entry of the home's audit chain, and moves the version's stage in its registry.
    One runs for a home; what happens while none runs is read from the rollouts'
    status afterwards, and what is missing there is recorded as missing.

    With --caller or --token-file it takes versions that a pipeline with another home
    registered: POST /v1/versions, which the pipeline's last step does (--registrar),
    or serinus registry send. Their signature must be of a trusted key.

    /readyz answers once everything was listed and recorded, /metrics has the
    registry's reviews, overrides, and what the registry did not know.
    MLFLOW_TRACKING_URI and OPENLINEAGE_URL: MLflow and a lineage backend are told too.

    Exit code 0 after a signal, 2 with the reason if it cannot start.
    """
    mask_logs()
    logging.basicConfig(
        stream=sys.stderr,
        level=log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    every = duration_of(
        "--verify-every", verify_every, code="SRN-RECORDS-002", hint="For example 90s, 5m, 1h."
    )
    tls = server_files(tls_cert, tls_key, tls_client_ca)
    check_callers(caller or (), token_audience, token_file)
    installation = find_home(home)
    with lock(
        installation.root / "records",
        what="another record keeper has this home",
        hint="One writes the records of a home; end the other one, or choose another --home.",
    ):
        book = HomeBook(installation)
        listener = http.bind(host, port, "SRN-RECORDS-001")
        api = Api(configuration(kubeconfig, context)) if follow or caller else None
        desk = Desk(Keeper(book, clock=lambda: time.time() + (api.ahead if api else 0.0)))
        follower = Follower(api, desk, tuple(namespace or ())) if api and follow else Nobody(desk)
        door = door_of(
            installation,
            api,
            accounts=caller or (),
            audience=token_audience,
            token_file=token_file,
            token_caller=token_caller,
            keys=keys,
            desk=desk,
        )
        beside = catalogue_keeper(installation, os.environ), lineage_keeper(installation, os.environ)
        http.end_with_zero()
        http.serve(build_app(installation, follower, beside, every, door), listener, tls=tls)


def main() -> None:
    """Run the program; an error that a user can meet is one line on stderr and exit code 2."""
    run_program(app)
