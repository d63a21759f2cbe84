"""``serinus registry sync``: MLflow shows what the registry holds."""

from __future__ import annotations

from typing import Annotated

import click
import typer
from rich.table import Table

from serinus.cli.options import HomeOption, Output, OutputOption, print_json, print_table
from serinus.home import existing_home
from serinus.registry import Registry
from serinus.registry.telling import sync as tell
from serinus.registry.telling import tracking_uri


def sync(
    model: Annotated[str | None, typer.Argument(help="Only this model.")] = None,
    uri: Annotated[
        str,
        typer.Option(
            help="http://… of a server, or sqlite:///… where the whole of MLflow is installed "
            "(default: $MLFLOW_TRACKING_URI)."
        ),
    ] = "",
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Tell MLflow of every version that it does not know as it is now.

    An experiment with a run for each version (parameters, figures with intervals, gates, data, papers), and a
    registered model whose aliases are champion and canary. The pipeline and `serinus up` do so by themselves
    where MLFLOW_TRACKING_URI is set; what they could not tell is told here. Exit code 1 if something is left.
    """
    place = uri or tracking_uri()
    if not place:
        raise click.UsageError("name MLflow with --uri, or set MLFLOW_TRACKING_URI")
    found = tell(Registry(existing_home(home)), place, [model] if model else None)
    left = [state for state in found if not state.current]
    if output is Output.json:
        print_json({"left": len(left), "versions": found})
    elif not found:
        typer.echo("No version is registered here, so there is nothing to tell.")
    else:
        table = Table("model", "version", "told", "in MLflow", "run", box=None)
        for state in found:
            number = f"version {state.number}" if state.number else ""
            table.add_row(
                state.model, str(state.version), "yes" if state.current else "NO", number, state.run
            )
        print_table(table)
    if left:
        typer.echo(f"serinus: {left[0].error}", err=True)
        raise typer.Exit(1)
