"""``serinus registry``: which versions exist, where they come from and where each stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from serinus.bundle import Bundle
from serinus.cli.options import (
    WHICH,
    AsOption,
    HomeOption,
    Output,
    OutputOption,
    group,
    print_json,
    print_table,
)
from serinus.cli.reviews import due, review, trigger
from serinus.cli.sending import send
from serinus.cli.syncing import sync
from serinus.errors import SerinusError
from serinus.home import beside, existing_home
from serinus.identity import current_identity
from serinus.registry import Data, Registry, Version
from serinus.registry.review_book import ReviewBook
from serinus.registry.reviews import load_policy

ModelArgument = Annotated[str, typer.Argument(help="The model's name.")]
WhichArgument = Annotated[str, typer.Argument(help=WHICH)]


def registry_app() -> typer.Typer:
    """The commands."""
    app = group("Which versions exist, where each stands, and who approved it.")
    app.command("list")(list_versions)
    app.command()(show)
    app.command()(approve)
    app.command()(retire)
    app.command()(review)
    app.command()(trigger)
    app.command()(due)
    app.command()(sync)
    app.command()(send)
    return app


def list_versions(
    model: Annotated[str | None, typer.Argument(help="Only this model.")] = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """List versions with their stage, tier, owner and digest."""
    registry = Registry(existing_home(home))
    found = registry.versions(model) if model else registry.every_version()
    if output is Output.json:
        print_json(found)
        return
    if not found and (known := registry.models()):
        typer.echo(f"No version of {model} is registered here; registered models: {', '.join(known)}.")
        return
    if not found:
        hint = beside(registry.home)
        typer.echo(f"No version is registered here. `serinus pipeline run` builds and registers one.{hint}")
        return
    table = Table("model", "version", "stage", "tier", "owner", "built by", "digest", "bundle", box=None)
    for v in found:
        tier = "" if v.tier is None else str(v.tier)
        table.add_row(v.model, str(v.version), v.stage, tier, v.owner, v.built_by, v.digest[7:19], v.path)
    print_table(table)


def show(
    model: ModelArgument, version: WhichArgument = "latest", home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:  # fmt: skip
    """Show one version: whose it is, what it was made of, where it has been, who agreed.

    With --output json also its metrics, validation and provenance. The bundle is verified
    first; where it cannot be, what the registry knows is shown all the same (exit code 1).
    """
    installation = existing_home(home)
    registry = Registry(installation)
    found = registry.get(model, version)
    bundle, problem = _bundle(registry, found)
    history, approvals = registry.history(model, found.version), registry.approvals(model, found.version)
    book = ReviewBook(registry, load_policy(installation))
    reviews, triggers = book.reviews(model, found.version), book.triggers(model, found.version)
    if output is Output.json:
        standing = registry.standing(model, found.version)
        document: dict[str, Any] = {
            "version": found,
            "history": history,
            "approvals": approvals,
            "standing": standing,
            "reviews": reviews,
            "triggers": triggers,
        }
        if bundle is not None:
            document |= {
                "metrics": bundle.metrics,
                "validation": bundle.validation,
                "provenance": bundle.provenance,
            }
        if problem is not None:
            document["error"] = problem.to_dict()
        print_json(document)
    else:
        _print(found)
        typer.echo("\nhistory")
        table = Table("", "stage", "when", "who", "why", box=None, show_header=False)
        for turn in history:
            table.add_row("", turn.stage, turn.time, turn.by, turn.reason)
        print_table(table)
        for approval in approvals:
            lent = f", lent by {approval.on_behalf_of}" if approval.on_behalf_of else ""
            word = "overridden" if approval.override else "approved"
            typer.echo(f"{word} by {approval.by} ({approval.role}{lent}) {approval.time}: {approval.reason}")
        for line in _standing(registry, found):
            typer.echo(line)
        for made in reviews:
            typer.echo(
                f"reviewed by {made.by} {made.time}: {made.outcome}, next {made.next[:10]}: {made.reason}"
            )
        for asked in triggers:
            state = "answered" if asked.closed else f"to be reviewed by {asked.due[:10]}"
            typer.echo(f"{asked.kind} {asked.time}, {state}: {asked.reason}")
    if problem is not None:
        typer.echo(f"serinus: {problem}", err=True)
        raise typer.Exit(1)


def approve(
    model: ModelArgument,
    version: WhichArgument,
    reason: Annotated[str, typer.Option("--reason", help="What you looked at and why it may go live.")],
    role: Annotated[str, typer.Option(help="The role in which you approve.")] = "approver",
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Approve a version in a role of yours. Nobody can approve what they built (exit code 1).

    A validated version that thereby has every word that its tier asks for is approved; what is
    missing is said. The access policy's override role (breakglass) stands for all of them for a
    time: it needs a justification, and raises an alert.
    """
    registry = Registry(existing_home(home))
    found = registry.get(model, version)
    number = found.version
    approval = registry.approve(model, number, by=current_identity(acting), role=role, reason=reason)
    if output is Output.json:
        print_json({"approval": approval, "standing": registry.standing(model, number)})
        return
    lent = f", lent by {approval.on_behalf_of}" if approval.on_behalf_of else ""
    word = "overridden" if approval.override else "approved"
    typer.echo(f"{model}/{number} {word} by {approval.by} as {approval.role}{lent}")
    needed = registry.access.requirement(found.tier)
    if (
        needed.asks
        and needed.words == len(needed.roles)
        and role not in needed.roles
        and not approval.override
    ):
        asks = " and ".join(needed.roles)
        typer.echo(
            f"Tier {found.tier} asks for {asks}, not for {role}: it counts where a rollout's step asks for that role."
        )
    if (missing := registry.standing(model, number).missing) and not approval.override:
        typer.echo(f"Still missing: {', '.join(missing)}.")


def retire(
    model: ModelArgument,
    version: WhichArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why it is taken out of use.")],
    live: Annotated[
        bool, typer.Option("--live", help="Although it is the champion: the model then has none.")
    ] = False,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Take a version out of use. Its bundle stays, so that its decisions can be explained for years.

    A champion or canary answers customers, so it is refused (exit code 1): another version that
    is promoted retires the champion by itself. --live gives a model up as a whole; it stops no scorer.
    """
    registry, by = Registry(existing_home(home)), current_identity(acting)
    number = registry.get(model, version).version
    registry.access.require(by, "version.stage", f"{model}/{number}")
    retired = registry.retire(model, number, by=by, reason=reason, live=live)
    if output is Output.json:
        print_json(retired)
        return
    typer.echo(f"{model}/{number} is retired. Its bundle stays at {retired.path}")


def _standing(registry: Registry, version: Version) -> list[str]:
    """What the access policy asks for at the version's tier, and whether it was said."""
    if not registry.access.requirement(version.tier).asks:
        return []
    standing = registry.standing(version.model, version.version)
    lines = [f"does not count: {word.by} ({word.role}): {why}" for word, why in standing.ignored]
    if standing.met:
        until = standing.until
        ends = (
            ""
            if until is None
            else f" until {datetime.fromtimestamp(until, UTC).isoformat(timespec='minutes')}"
        )
        how = "overridden" if standing.overridden else "approved as its tier asks"
        return [*lines, f"{how}{ends}"]
    return [*lines, f"still missing for tier {version.tier}: {', '.join(standing.missing)}"]


def _bundle(registry: Registry, version: Version) -> tuple[Bundle | None, SerinusError | None]:
    try:
        return registry.bundle(version), None
    except SerinusError as error:
        return None, error


def _print(version: Version) -> None:
    tier = "not stated" if version.tier is None else f"{version.tier} (1 is the most material)"
    lineage = version.lineage
    typer.echo(f"{version.model} v{version.version}: {version.stage}")
    for name, value in (
        ("purpose", version.purpose or "not stated"),
        ("tier", tier),
        ("owner", version.owner),
        ("built", f"{version.created} by {version.built_by} in run {version.run}"),
        ("digest", version.digest),
        ("bundle", version.path),
        ("signed by", f"key {version.key}" if version.key else "not known"),
        ("data", data_line(lineage.data)),
        ("contract", lineage.contract),
        ("code", lineage.code + (f", commit {lineage.commit}" if lineage.commit else "")),
        ("libraries", f"lock {lineage.lock}" if lineage.lock else ""),
    ):
        typer.echo(f"  {name:<10} {value or 'not stated'}")


def data_line(data: Data) -> str:
    """The records in one line: rows, period, digest, where they were read."""
    if not data.digest:
        return "not stated"
    rows = "" if data.rows is None else f"{data.rows:,} rows, "
    period = f"{data.first} to {data.last}, " if data.first else ""
    return f"{rows}{period}{data.digest}" + (f", read from {data.source}" if data.source else "")
