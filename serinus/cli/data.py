"""``serinus data``: which records the versions were trained on, and whether a file is those."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import click
import typer
from rich.table import Table

from serinus.cli.options import WHICH, HomeOption, Output, OutputOption, group, print_json, print_table
from serinus.home import existing_home
from serinus.registry import Registry, Version
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
    found = data_versions(Registry(existing_home(home)), model)
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
    version: Annotated[str | None, typer.Option(metavar="MODEL/VERSION", help=f"VERSION: {WHICH}")] = None,
    digest: Annotated[str | None, typer.Option(help="sha256:… that it must have.")] = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Check that FILE is what a version was trained on; without one, say which it is. Exit code 1 if it is not.

    Example: serinus data verify loans.csv --version credit/champion
    """
    registry = Registry(existing_home(home))
    if version is not None and digest is not None:
        raise click.UsageError("give --version or --digest, not both")
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise click.UsageError(f"--digest {digest} is not sha256: and 64 hexadecimal digits")
    wanted = None if version is None else _version(registry, version)
    found = check_data(registry, file, version=wanted, digest=digest)
    if output is Output.json:
        print_json(found)
        return
    used = f": what {', '.join(found.versions)} was trained on" if found.versions else ""
    rows = "" if found.rows is None else f", {found.rows:,} rows"
    typer.echo(f"{file} is {found.digest}{rows}{used}")


def _version(registry: Registry, text: str) -> Version:
    """``credit/3``, ``credit/champion``, or as in other commands ``credit@3``."""
    model, sign, which = text.rpartition("@" if "@" in text else "/")
    if not (sign and model and which):
        models = ", ".join(registry.models()) or "none is registered"
        raise click.UsageError(
            f"--version {text} is not MODEL/VERSION, such as credit/3 or credit/champion (models: {models})"
        )
    return registry.get(model, which)
