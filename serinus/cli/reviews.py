"""``serinus registry review``, ``trigger`` and ``due``: which versions are to be looked at again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import click
import typer
from rich.table import Table

from serinus.cli.options import WHICH, AsOption, HomeOption, Output, OutputOption, print_json, print_table
from serinus.home import existing_home
from serinus.identity import current_identity
from serinus.registry import Registry
from serinus.registry.review_book import ReviewBook
from serinus.registry.reviews import KINDS, Kind, Outcome, load_policy, moment

OUTCOMES = ("fit", "conditions", "unfit")


def review(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    version: Annotated[str, typer.Argument(help=WHICH)],
    outcome: Annotated[
        str,
        typer.Option(
            click_type=click.Choice(OUTCOMES),
            help="unfit: it stays due until it is replaced or retired; conditions: fit, with what --reason says.",
        ),
    ],
    reason: Annotated[str, typer.Option("--reason", help="What was looked at and what was found.")],
    next_date: Annotated[
        str | None,
        typer.Option(
            "--next",
            metavar="DAY",
            help="Of the next review, in UTC (default: as late as the policy allows).",
        ),
    ] = None,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Record that a person reviewed a version; it answers every trigger that is open.

    Nobody reviews what they built. Example:

    serinus registry review fraud champion --outcome fit --reason "drift of amounts is the price rise" --next 2027-03-01
    """
    installation = existing_home(home)
    registry = Registry(installation)
    book = ReviewBook(registry, load_policy(installation))
    found, by = registry.get(model, version), current_identity(acting)
    subject = f"{model}/{found.version}"
    right = registry.access.require(by, "version.review", subject, own={found.built_by})
    done = book.record(
        found,
        by=by,
        outcome=_outcome(outcome),
        reason=reason,
        next_date=_day("--next", next_date),
        on_behalf_of=right.on_behalf_of,
    )
    if output is Output.json:
        print_json(done)
        return
    until = "until it is replaced or retired" if done.outcome == "unfit" else f"again by {done.next[:10]}"
    typer.echo(f"{model}/{found.version} reviewed by {done.by}: {done.outcome}; due {until}")


def trigger(
    model: Annotated[str | None, typer.Argument(help="The model's name; every model with --all.")] = None,
    version: Annotated[str, typer.Argument(help=WHICH)] = "champion",
    kind: Annotated[
        str, typer.Option(click_type=click.Choice(KINDS), help="What happened; the policy says how soon.")
    ] = "policy",
    reason: Annotated[str, typer.Option("--reason", help="What happened, in a sentence.")] = "",
    due_date: Annotated[
        str | None,
        typer.Option("--due", metavar="DAY", help="Review until that day, in UTC (needed with --kind date)."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every version in use: a law or the bank's policy changed.")
    ] = False,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Ask for a review because something happened. Drift and performance alerts do so by themselves.

    Example: serinus registry trigger --all --kind policy --due 2027-12-02
    --reason "EU AI Act: credit scoring becomes high-risk"
    """
    installation = existing_home(home)
    registry = Registry(installation)
    book = ReviewBook(registry, load_policy(installation))
    until = _day("--due", due_date)
    if everything == (model is not None):
        raise click.UsageError("name one MODEL, or give --all")
    if kind == "date" and until is None:
        raise click.UsageError("--kind date needs a day: --due YYYY-MM-DD")
    if model is None:
        versions = [registry.get(item.model, item.version) for item in book.due()]
    else:
        versions = [registry.get(model, version)]
    opened = [
        (found, made)
        for found in versions
        for made in [book.open(found, _kind(kind), by=current_identity(acting), reason=reason, due=until)]
        if made is not None
    ]
    if output is Output.json:
        print_json([{"model": v.model, "version": v.version, "trigger": made} for v, made in opened])
        return
    for found, made in opened:
        typer.echo(f"{found.model}/{found.version} is to be reviewed by {made.due[:10]} ({kind})")
    if not opened:
        typer.echo("Nothing was opened: that cause asks already, or no version is in use.")


def due(
    model: Annotated[str | None, typer.Argument(help="Only this model.")] = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """List the versions in use by the day until which each is to be reviewed.

    Exit code 1 if one is overdue, or the model is not registered, so that a cron job can tell somebody. Which tier is
    reviewed how often, and why, stands in the review policy (docs/registry.md).
    """
    installation = existing_home(home)
    registry = Registry(installation)
    if model:
        # A name that nothing is registered under is never due: it would be quiet for ever.
        registry.get(model)
    book = ReviewBook(registry, load_policy(installation))
    found = book.due([model] if model else None)
    if output is Output.json:
        print_json({"overdue": sum(item.overdue for item in found), "versions": found})
    elif not found:
        typer.echo("No version is in use, so none is to be reviewed.")
    else:
        table = Table("model", "version", "stage", "tier", "owner", "due", "", "why", box=None)
        for item in found:
            tier = "" if item.tier is None else str(item.tier)
            late = "OVERDUE" if item.overdue else ""
            table.add_row(
                item.model, str(item.version), item.stage, tier, item.owner, item.due[:10], late, item.why
            )
        print_table(table)
    if any(item.overdue for item in found):
        raise typer.Exit(1)


def _day(flag: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return moment(text)
    except ValueError:
        raise click.UsageError(f"{flag} {text} is not a day such as 2027-03-01") from None


def _kind(text: str) -> Kind:
    return text  # pyright: ignore[reportReturnType]  click has checked it


def _outcome(text: str) -> Outcome:
    return text  # pyright: ignore[reportReturnType]  click has checked it
