"""``serinus decisions``: find logged decisions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import click
import msgspec
import typer
from rich.table import Table

from serinus.chain import find_logs, last_bodies, read_bodies
from serinus.cli.options import HomeOption, Output, OutputOption, group, print_json, print_table
from serinus.errors import SerinusError
from serinus.events import DecisionEvent
from serinus.home import find_home

_decode = msgspec.json.Decoder(DecisionEvent).decode


def decisions_app() -> typer.Typer:
    """The commands."""
    app = group("What was decided, on which features, by which model, and why.")
    app.command()(show)
    return app


def show(
    request_id: Annotated[
        str | None, typer.Argument(help="The id that came with the answer; shows all rows of a batch.")
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, metavar="N", help="The newest N, unverified.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    log: Annotated[Path | None, typer.Option(help="One log (default: all of the home).")] = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Show a decision by its request id, verifying the log up to there; or the newest ones.

    One decision is printed whole, as JSON; several as a table.
    """
    if (request_id is None) == (last is None):
        raise click.UsageError("give a request id, or --last N")
    logs = list(find_logs([log or find_home(home).decisions]))
    found: list[DecisionEvent] = []
    for path in logs:
        bodies = last_bodies(path, last) if last is not None else _by_id(path, request_id or "")
        found += [e for e in map(_decode, bodies) if model is None or e.data.model == model]
    found.sort(key=lambda event: event.time)
    if last is not None:
        found = found[-last:]
        if not found and output is Output.text:
            of = "" if model is None else f" of {model}"
            typer.echo(f"There is no decision{of} yet in {log or find_home(home).decisions}.")
            return
    elif not found:
        raise SerinusError(
            "SRN-AUDIT-005",
            f"no decision with the request id {request_id} is in {len(logs)} log(s)",
            where=str(log or find_home(home).decisions),
            hint="Check the id (it is in the answer's meta.puid and Seldon-Puid), or name the log with --log.",
        )
    if output is Output.json or (request_id is not None and len(found) == 1):
        print_json(found)
        return
    table = Table("time", "request", "model", "predictor", "probability", "decision", "reasons", box=None)
    for event in found:
        data = event.data
        reasons = ", ".join(reason.code for reason in data.reasons)
        table.add_row(
            event.time,
            event.id,
            f"{data.model}/{data.version}",
            data.predictor,
            f"{data.probability:.6f}",
            data.decision,
            reasons,
        )
    print_table(table)


def _by_id(path: Path, request_id: str) -> Iterator[bytes]:
    """Verified events of one request: its own id, or the id and a row's number."""
    start = b'{"id":' + msgspec.json.encode(request_id)[:-1]
    for body in read_bodies(path):
        if body.startswith(start):
            rest = _decode(body).id[len(request_id) :]
            if not rest or (rest[0] == "." and rest[1:].isdecimal()):
                yield body
