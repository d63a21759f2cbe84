"""``serinus pipeline``: train, validate and register a model."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

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
        Output, typer.Option(help="json: the last line of stdout is a JSON object.")
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
    from serinus.home import find_home
    from serinus.identity import current_identity

    # Results go to stdout, progress to stderr, so that a pipe carries results only.
    console = Console(stderr=True, soft_wrap=True)
    progress = Progress(console)
    try:
        result = run_pipeline(
            contract,
            data,
            home=find_home(home),
            by=current_identity(identity),
            listener=progress,
            config=config,
            name=name,
        )
    except SerinusError as error:
        progress.close()
        details = getattr(error, "details", {})
        if details.get("demands"):
            console.print(demands_table(details["demands"]))
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
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File to write.")] = None,
) -> None:
    """Compile the pipeline to the YAML that a KFP server takes.

    The image is $SERINUS_PIPELINE_IMAGE; give one by digest for a cluster.
    """
    from pipelines.compile import COMPILED, compile_pipeline

    target = out or COMPILED
    compile_pipeline(target)
    typer.echo(str(target))


@app.command()
def steps(
    output: Annotated[Output, typer.Option(help="json: a list of names.")] = Output.text,
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


def _fail(error: SerinusError, output: Output, details: dict[str, object]) -> NoReturn:
    if output is Output.json:
        typer.echo(json.dumps({"error": error.to_dict(), "gate": details}))
    typer.echo(f"serinus: {error}", err=True)
    raise typer.Exit(1) from error
