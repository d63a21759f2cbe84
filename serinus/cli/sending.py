"""``serinus registry send``: a record keeper elsewhere is told of a version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
import typer
from rich.table import Table

from serinus.cli.options import WHICH, HomeOption, Output, OutputOption, print_json, print_table
from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.home import existing_home
from serinus.registry import Registry
from serinus.registry.registration import registration_of
from serinus.registry.sending import URL, channel_to
from serinus.registry.sending import send as hand_over


def send(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    version: Annotated[str, typer.Argument(help=f"{WHICH} all: each of them, oldest first.")] = "latest",
    to: Annotated[
        str, typer.Option(metavar="URL", help="The record keeper (default: $SERINUS_REGISTRAR).")
    ] = "",
    token: Annotated[
        Path | None,
        typer.Option(
            help="File with the token to show it (default: $SERINUS_REGISTRAR_TOKEN_FILE, in a pod its account's)."
        ),
    ] = None,
    bundle_uri: Annotated[
        str,
        typer.Option(metavar="URI", help="Where `serinus bundle push` has put the bundle, as it printed it."),
    ] = "",
    timeout: Annotated[str, typer.Option(help="For one version, all tries together.")] = "2m",
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Tell a record keeper of a version that is registered here: its signature, its papers, who built it.

    The bundle is verified first, and stays where it is. Sent again, it changes nothing there. A keeper that
    is away, or cannot write now, is asked again until the time is over; what it refuses, it says (exit
    code 1). Nothing changes here. Its certificate is verified by $SERINUS_TLS_CA.

    Example: serinus registry send fraud 3 --to https://serinus-records.serinus-system:8080 --token token
    """
    try:
        seconds = parse_duration(timeout)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from error
    if bundle_uri and version == "all":
        raise click.UsageError("--bundle-uri is of one version: name it instead of all")
    registry = Registry(existing_home(home))
    channel = channel_to(to, token, flag="--to")
    if channel is None:
        raise click.UsageError(f"name the record keeper with --to, or set {URL}")
    versions = registry.versions(model) if version == "all" else []
    receipts: list[dict[str, object]] = []
    for found in versions or [registry.get(model, "latest" if version == "all" else version)]:
        try:
            told = registration_of(registry.bundle(found), found, bundle_uri)
            receipt = hand_over(told, channel, patience=seconds)
        except SerinusError as error:
            if output is Output.json:
                print_json({"to": channel.url, "versions": receipts, "error": error.to_dict()})
            else:
                _print(receipts)
            typer.echo(f"serinus: {error}", err=True)
            raise typer.Exit(1) from error
        receipts.append(
            {
                "model": receipt.model,
                "version": receipt.version,
                "digest": receipt.digest,
                "created": receipt.created,
                "stage": receipt.stage,
                "differs": list(receipt.differs),
            }
        )
    if output is Output.json:
        print_json({"to": channel.url, "versions": receipts})
        return
    _print(receipts)


def _print(receipts: list[dict[str, object]]) -> None:
    if not receipts:
        return
    table = Table("version", "digest", "there", "stage", "has otherwise", box=None)
    for one in receipts:
        differs = one["differs"]
        table.add_row(
            f"{one['model']}/{one['version']}",
            str(one["digest"]),
            "entered" if one["created"] else "known already",
            str(one["stage"]),
            ", ".join(map(str, differs)) if isinstance(differs, list) else "",
        )
    print_table(table)
