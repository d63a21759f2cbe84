"""``serinus data``: which records the versions were trained on, and whether a file is those."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import click
import typer
from rich.table import Table

from serinus.cli.options import HomeOption, Output, OutputOption, group, print_json, print_table
from serinus.home import find_home
from serinus.registry import Registry
from serinus.registry.data import check_data, data_versions

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def data_app() -> typer.Typer:
    """The commands."""
    app = group("The records that versions were trained on, by their content.")
    app.command("list")(list_data)
    app.command()(verify)
    return app


def list_data(
    model: Annotated[str | None, typer.Argument(help="Only this model.")] = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """List every content: rows, period, which versions were trained on it, where it was read."""
    found = data_versions(Registry(find_home(home)), model)
    if output is Output.json:
        print_json(found)
        return
    if not found:
        typer.echo("No version here says what it was trained on. `serinus pipeline run` notes it.")
        return
    table = Table("digest", "rows", "from", "to", "versions", "read from", box=None)
    for data in found:
        rows = "" if data.rows is None else f"{data.rows:,}"
        table.add_row(data.digest, rows, (data.first or "")[:10], (data.last or "")[:10],
                      ", ".join(data.versions), ", ".join(data.sources))  # fmt: skip
    print_table(table)


def verify(
    file: Annotated[Path, typer.Argument(help="The file of records, as the pipeline read it.")],
    version: Annotated[
        str | None, typer.Option(metavar="MODEL/N", help="The version; N may be champion or latest.")
    ] = None,
    digest: Annotated[str | None, typer.Option(help="sha256:… that it must have.")] = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Check that FILE is what a version was trained on; without one, say which it is. Exit code 1 if it is not.

    Example: serinus data verify loans.csv --version credit/champion
    """
    registry = Registry(find_home(home))
    if version is not None and digest is not None:
        raise click.UsageError("give --version or --digest, not both")
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise click.UsageError(f"--digest {digest} is not sha256: and 64 hexadecimal digits")
    model, slash, number = (version or "").rpartition("/")
    if version is not None and not (slash and model and number):
        raise click.UsageError(f"--version {version} is not MODEL/N, such as credit/3 or credit/champion")
    found = check_data(
        registry, file, version=registry.get(model, number) if version else None, digest=digest
    )
    if output is Output.json:
        print_json(found)
        return
    used = f": what {', '.join(found.versions)} was trained on" if found.versions else ""
    rows = "" if found.rows is None else f", {found.rows:,} rows"
    typer.echo(f"{file} is {found.digest}{rows}{used}")
