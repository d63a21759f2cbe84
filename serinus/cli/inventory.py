"""``serinus inventory``: every model, and what is due."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from serinus.cli.options import HomeOption, print_json, print_table
from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.home import Home, atomic_write, beside, existing_home
from serinus.papers.html import to_html
from serinus.papers.inventory import HEADINGS, Entry, cells, to_csv, to_document
from serinus.papers.inventory import inventory as take
from serinus.registry import Registry


class Form(StrEnum):
    """How it is printed."""

    table = "table"
    json = "json"
    csv = "csv"
    html = "html"


def inventory(
    output: Annotated[
        Form,
        typer.Option(
            "--output", "-o", help="table for people, json and csv for programs, html for the file."
        ),
    ] = Form.table,
    out: Annotated[
        Path | None, typer.Option(help="Write it there, whole or not at all (default: stdout).")
    ] = None,
    soon: Annotated[
        str, typer.Option(metavar="DURATION", help="Reviews and approvals that end within it are due.")
    ] = "30d",
    due: Annotated[
        bool,
        typer.Option("--due", help="Only models of which something is due; exit code 1 if there is any."),
    ] = False,
    home: HomeOption = None,
) -> None:
    """List every model: owner, purpose, tier, champion, stage, last validation and review, open findings, what is due.

    What is overdue comes first. Of a model it is about the version that answers: the champion, else the canary, else
    the latest. Example, for a nightly job: serinus inventory --due -o json
    """
    installation = existing_home(home)
    registry = Registry(installation)
    entries = take(installation, registry, soon=_soon(soon))
    if due:
        entries = [entry for entry in entries if entry.due or entry.overdue]
    if output is Form.json and out is None:
        print_json(entries)
    elif output is Form.table and out is None:
        _print(entries, due, installation)
    else:
        text = _text(entries, output, registry.now())
        if out is None:
            typer.echo(text, nl=False)
        else:
            atomic_write(out, text)
            typer.echo(str(out))
    if due and entries:
        raise typer.Exit(1)


def _soon(text: str) -> timedelta:
    try:
        return timedelta(seconds=parse_duration(text))
    except ValueError as error:
        raise SerinusError(
            "SRN-PAPER-006",
            f"--soon: {error}",
            where="serinus inventory",
            hint="Give a number and a unit: 30d, 2w, 12h.",
        ) from error


def _text(entries: list[Entry], output: Form, at: str) -> str:
    import msgspec

    from serinus.papers.text import to_text

    if output is Form.csv:
        return to_csv(entries)
    if output is Form.json:
        return msgspec.json.format(msgspec.json.encode(entries), indent=2).decode() + "\n"
    document = to_document(entries, at)
    return to_html(document) if output is Form.html else to_text(document)


def _print(entries: list[Entry], due: bool, home: Home) -> None:
    if not entries:
        typer.echo(
            "Nothing is due."
            if due
            else f"No model is registered in {home.root}. `serinus pipeline run` builds one; --home names another."
            f"{beside(home)}"
        )
        return
    table = Table(*(title.lower() for title in HEADINGS), box=None)
    for entry in entries:
        table.add_row(*cells(entry))
    print_table(table)
    for entry in entries:
        if entry.problem:
            typer.echo(f"{entry.model}: {entry.problem}", err=True)
