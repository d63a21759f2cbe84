"""``serinus decisions``: find logged decisions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import click
import typer
from rich.table import Table

from serinus.chain import find_logs, last_bodies, read_gaps
from serinus.cli.options import HomeOption, Output, OutputOption, group, print_json, print_table
from serinus.cli.standing import vouching_of, warn_of_gaps
from serinus.events import DecisionEvent, WithheldEvent, find_decisions, read_decision
from serinus.home import existing_home
from serinus.privacy import find_keys


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

    Where the log has a gap before it, of which the archive told, or is broken behind it, that and what the chain still
    proves is said on stderr. In front of a break the exit code is 1 unless a signed checkpoint between the two vouches
    for it: it may be this decision that was changed.

    One decision is printed whole, as JSON; several as a table. What is sealed is opened where its
    key is; where it was destroyed, or is not here, that is said in its place.
    """
    if (request_id is None) == (last is None):
        raise click.UsageError("give a request id, or --last N")
    installation = existing_home(home, needed=log is None)
    place, keys = log or installation.decisions, find_keys(installation)
    unproven = False
    if last is None:
        gaps = read_gaps(installation.root)
        placed = find_decisions(
            [place],
            request_id or "",
            model=model,
            keys=keys,
            gaps=gaps,
            vouching=vouching_of(installation),
            unproven=True,
        )
        warn_of_gaps(installation, placed, gaps)
        found = [one.event for one in placed]
        unproven = any(one.behind is not None and one.vouched is None for one in placed)
    else:
        newest = [
            read_decision(path, body, keys) for path in find_logs([place]) for body in last_bodies(path, last)
        ]
        newest = [event for event in newest if model is None or event.data.model == model]
        found = sorted(newest, key=lambda event: event.time)[-last:]
        if not found and output is Output.text:
            of = "" if model is None else f" of {model}"
            typer.echo(f"There is no decision{of} yet in {place}.")
            return
    if output is Output.json or (request_id is not None and len(found) == 1):
        print_json(found)
    else:
        _print(found)
    if unproven:
        raise typer.Exit(1)


def _print(found: Sequence[DecisionEvent | WithheldEvent]) -> None:
    table = Table("time", "request", "model", "predictor", "probability", "decision", "reasons", box=None)
    for event in found:
        data = event.data
        cells = (event.time, event.id, f"{data.model}/{data.version}", data.predictor)
        if isinstance(event, WithheldEvent):
            table.add_row(*cells, "", event.data.verdict, event.data.why)
            continue
        reasons = ", ".join(reason.code for reason in event.data.reasons)
        table.add_row(*cells, f"{event.data.probability:.6f}", event.data.decision, reasons)
    print_table(table)
