"""``serinus pipeline``: train, validate and register a model."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from pipelines.submit_cli import submit
from serinus.errors import SerinusError

app = typer.Typer(
    help="Train, validate and register a model: a Kubeflow pipeline, run on this machine or on a KFP server.",
    no_args_is_help=True,
    add_completion=False,
)


class Output(StrEnum):
    """How results are printed."""

    text = "text"
    json = "json"


@app.command()
def run(
    contract: Annotated[Path, typer.Option(help="Data contract (YAML): what the columns mean.")],
    data: Annotated[Path, typer.Option(help="Records: .csv, .csv.gz or .parquet.")],
    config: Annotated[
        Path | None, typer.Option(help="Training config (YAML). Without it the defaults hold.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Register under this name instead of the contract's.")
    ] = None,
    identity: Annotated[
        str | None, typer.Option("--as", help="Who builds ($SERINUS_USER, else the login).")
    ] = None,
    home: Annotated[
        Path | None, typer.Option(help="Where everything is kept ($SERINUS_HOME, else .serinus).")
    ] = None,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="json: the last line of stdout is a JSON object.")
    ] = Output.text,
) -> None:
    """Run the pipeline on this machine.

    Steps whose inputs have not changed are taken from the cache. If the validation gate
    stops the model, its numbers are shown, nothing is registered and the exit code is 1.

    Example: serinus pipeline run --contract models/fraud/contract.yaml --data tx.csv
    """
    from rich.console import Console

    from pipelines.progress import Progress, demands_table
    from pipelines.run import run_pipeline
    from serinus.access import Access
    from serinus.home import find_home
    from serinus.identity import current_identity

    # Results go to stdout, progress to stderr, so that a pipe carries results only.
    console = Console(stderr=True, soft_wrap=True)
    progress = Progress(console)
    by = current_identity(identity)
    try:
        Access(find_home(home)).require(by, "pipeline.run", name or str(contract))
        result = run_pipeline(
            contract,
            data,
            home=find_home(home),
            by=by,
            listener=progress,
            config=config,
            name=name,
        )
    except SerinusError as error:
        progress.close()
        details = getattr(error, "details", {})
        if details.get("demands"):
            console.print(demands_table(details["demands"], console.width))
        _fail(error, output, details)
    except KeyboardInterrupt:
        progress.close()
        typer.echo("serinus: stopped; nothing was registered", err=True)
        raise typer.Exit(130) from None
    if output is Output.json:
        typer.echo(json.dumps(result.to_dict()))
        return
    new = "registered" if result.created else "the same inputs gave this version before"
    typer.echo(f"{result.name} v{result.version}  {result.digest}  ({new}, {result.seconds['total']:.1f} s)")
    typer.echo(f"bundle  {result.bundle}")


@app.command("compile")
def compile_(
    image: Annotated[
        str,
        typer.Option(
            envvar="SERINUS_PIPELINE_IMAGE",
            show_envvar=False,
            help="Image of every step, by digest: NAME@sha256:… (default: $SERINUS_PIPELINE_IMAGE).",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write.")] = Path("serinus-training.yaml"),
    allow_tag: Annotated[
        bool, typer.Option("--allow-tag", help="Take an image by tag, whose content may change.")
    ] = False,
    resources: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP=CPU/MEMORY", help="For example train=4/16Gi; may be repeated."),
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, max=10, help="Of a step whose pod failed; the gate has none.")
    ] = 2,
    timeout: Annotated[str, typer.Option(help="A step's pod that takes longer is ended.")] = "6h",
    bundles: Annotated[
        str, typer.Option(metavar="URI", help="Where bundles are put: s3://bucket/path.")
    ] = "",
    s3_secret: Annotated[
        str,
        typer.Option(help="Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the other AWS_* needed."),
    ] = "",
    signing_secret: Annotated[str, typer.Option(help="Secret with the signing key, signing.pem.")] = "",
    home_claim: Annotated[
        str, typer.Option(help="Volume claim that keeps the registry; without it, it ends with the run.")
    ] = "",
    pull_secret: Annotated[str, typer.Option(help="Secret for a private image registry.")] = "",
    lineage_url: Annotated[
        str, typer.Option(metavar="URL", help="Where every step sends its OpenLineage events.")
    ] = "",
    lineage_namespace: Annotated[
        str, typer.Option(help="Namespace of their jobs and datasets (default: serinus).")
    ] = "",
    lineage_secret: Annotated[
        str, typer.Option(help="Secret with OPENLINEAGE_API_KEY, if it asks for one.")
    ] = "",
    mlflow: Annotated[
        str, typer.Option(metavar="URL", help="MLflow server that is told of the registered version.")
    ] = "",
    mlflow_secret: Annotated[
        str,
        typer.Option(help="Secret with MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD."),
    ] = "",
    registrar: Annotated[
        str, typer.Option(metavar="URL", help="Record keeper that is told of the registered version.")
    ] = "",
    registrar_secret: Annotated[
        str,
        typer.Option(help="Secret with ca.crt, the authority it is verified by, and token, if it wants one."),
    ] = "",
    registrar_token: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Token in the step's pod (default: the Secret's, or its ServiceAccount's)."
        ),
    ] = "",
    output: Annotated[Output, typer.Option("--output", help="json: one object.")] = Output.text,
) -> None:
    """Compile the pipeline to the YAML that a KFP server takes.

    The same flags and code give the same bytes, so the file can be kept under
    version control. Ingest and register are never cached, for they look at the
    world and change it.

    Example: serinus pipeline compile --image registry.example/serinus/pipeline@sha256:…
    --bundles s3://models/bundles --s3-secret models-s3 --signing-secret models-key --home-claim registry
    """
    from pipelines.compile import compile_pipeline
    from pipelines.server import Server, read_resources
    from serinus.durations import parse_duration

    try:
        try:
            seconds = int(parse_duration(timeout))
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--timeout") from error
        server = Server(
            image=image,
            resources=read_resources(resources or []),
            retries=retries,
            timeout=seconds,
            bundles=bundles,
            s3_secret=s3_secret,
            signing_secret=signing_secret,
            home_claim=home_claim,
            pull_secret=pull_secret,
            lineage_url=lineage_url,
            lineage_namespace=lineage_namespace,
            lineage_secret=lineage_secret,
            mlflow=mlflow,
            mlflow_secret=mlflow_secret,
            registrar=registrar,
            registrar_secret=registrar_secret,
            registrar_token=registrar_token,
        )
        server.check(allow_tag=allow_tag)
        compile_pipeline(out, server)
    except SerinusError as error:
        _fail(error, output)
    missing = [
        flag
        for flag, given in (("--home-claim", home_claim), ("--signing-secret", signing_secret))
        if not given
    ]
    for flag in missing:
        typer.echo(f"serinus: without {flag} {_WITHOUT[flag]}", err=True)
    if output is Output.json:
        typer.echo(json.dumps({"path": str(out), "image": image}))
        return
    typer.echo(str(out))


_WITHOUT = {
    "--home-claim": "the registry ends with the run, and every version is number 1",
    "--signing-secret": "the signing key is made in --home-claim's volume, or for the run alone; nobody trusts it yet",
}


app.command()(submit)


@app.command()
def steps(
    output: Annotated[Output, typer.Option("--output", "-o", help="json: a list of names.")] = Output.text,
) -> None:
    """List the pipeline's steps in the order in which they run."""
    from pipelines.kfp_lean import import_kfp

    import_kfp()
    from pipelines import training

    if output is Output.json:
        typer.echo(json.dumps(list(training.STEPS)))
        return
    for number, step in enumerate(training.STEPS, start=1):
        text = (getattr(training, step).component_spec.description or "").strip().split("\n")[0]
        typer.echo(f"{number:>2}  {step:<10} {text}")


def _fail(error: SerinusError, output: Output, details: dict[str, object] | None = None) -> NoReturn:
    if output is Output.json:
        typer.echo(json.dumps({"error": error.to_dict()} | ({} if details is None else {"gate": details})))
    typer.echo(f"serinus: {error}", err=True)
    raise typer.Exit(1) from error
