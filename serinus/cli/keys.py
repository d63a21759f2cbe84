"""``serinus keys``: who signs, whose signature counts, and changing that."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Annotated

import click
import typer
from rich.table import Table

from serinus.access import Access
from serinus.cli.options import AsOption, HomeOption, Output, OutputOption, group, print_json, print_table
from serinus.home import Home, existing_home, find_home
from serinus.identity import current_identity
from serinus.registry import Registry
from serinus.registry.reviews import moment
from serinus.registry.rotation import export_keys, keys_of, new_key, retire_key, trust_key, use_key

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The key's id, or its first digits.")]
OwnerOption = Annotated[str, typer.Option(help="Who holds the private half.")]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="DAY", help="It signs nothing from that day on (UTC).")
]


def keys_app() -> typer.Typer:
    """The commands."""
    app = group("The keys that sign bundles and logs, and whose signature counts.")
    app.command("list")(list_keys)
    app.command()(new)
    app.command()(use)
    app.command()(trust)
    app.command()(retire)
    app.command()(export)
    return app


def list_keys(home: HomeOption = None, output: OutputOption = Output.text) -> None:
    """List every key: which signs, which stand by, which are trusted, which are retired."""
    installation = existing_home(home)
    found = keys_of(Registry(installation), installation)
    if output is Output.json:
        print_json(found)
        return
    if not found:
        typer.echo(
            "There is no key here. `serinus keys new` makes one; so does the first `serinus pipeline run`."
        )
        return
    table = Table("id", "state", "valid", "versions", "owner", "why", box=None)
    for key in found:
        table.add_row(key.id, key.state, _validity(key.begins, key.ends, key.retired, key.valid),
                      str(key.signed), key.owner, key.reason)  # fmt: skip
    print_table(table)


def new(
    standby: Annotated[
        bool,
        typer.Option("--standby", help="It does not sign yet: pods are told first; then `serinus keys use`."),
    ] = False,
    owner: OwnerOption = "",
    until: UntilOption = None,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Make a key, trusted here, that signs from now on. The one before it stays trusted until it is retired.

    To change the key of models that are served elsewhere without a moment in which a bundle is
    refused: new --standby, export, hand the files to the pods, use, and later retire the old one.
    """
    ends = _day("--until", until)
    if ends is not None and ends.timestamp() <= time.time():
        raise click.UsageError(f"--until {until} is past: the key would never sign anything")
    installation = find_home(home)
    made = new_key(
        Registry(installation),
        installation,
        by=_keeper(installation, acting),
        owner=owner,
        ends=ends,
        standby=standby,
    )
    if output is Output.json:
        print_json(made)
        return
    typer.echo(f"{made.id} {'stands by' if standby else 'signs from now on'}")
    typer.echo(f"public half  {installation.keys / f'trusted-{made.id}.pem'}")
    typer.echo("Pods must trust it before they are given what it signs: serinus keys export DIR")


def use(
    key: IdArgument, acting: AsOption = None, home: HomeOption = None, output: OutputOption = Output.text
) -> None:
    """Let a key that stands by sign from now on."""
    installation = existing_home(home)
    now = use_key(Registry(installation), installation, key, by=_keeper(installation, acting))
    if output is Output.json:
        print_json(now)
        return
    typer.echo(f"{now.id} signs from now on")


def trust(
    file: Annotated[Path, typer.Argument(help="The public key: PEM, ed25519.")],
    owner: OwnerOption = "",
    begin: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="What came earlier does not count (UTC).")
    ] = None,
    until: UntilOption = None,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Trust another's public key: bundles under its signature may be registered and served here."""
    installation = find_home(home)
    found = trust_key(
        Registry(installation),
        installation,
        file,
        by=_keeper(installation, acting),
        owner=owner,
        begins=_day("--from", begin),
        ends=_day("--until", until),
    )
    if output is Output.json:
        print_json(found)
        return
    typer.echo(f"{found.id} is trusted. Compare this id with its owner, another way than the file came.")


def retire(
    key: IdArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why: rotation, or how it was lost.")],
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="It was lost then: nothing that came later counts (default: now)."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIGEST", help="sha256:… that it signed and this registry does not know; repeatable."
        ),
    ] = None,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Let a key's signature count no more, but for what the audit log shows it had signed before.

    That list is what makes the difference later, offline too: a signature says nothing of its
    time. The private half is removed. Hand the files to pods and auditors: serinus keys export DIR
    """
    installation = existing_home(home)
    made = retire_key(
        Registry(installation),
        installation,
        key,
        by=_keeper(installation, acting),
        reason=reason,
        since=_day("--since", since),
        keep=_digests(keep or []),
    )
    if output is Output.json:
        print_json(made)
        return
    typer.echo(
        f"{made.key_id} is retired since {made.since}. Its signature still counts for "
        f"{len(made.signed)} {'bundle' if len(made.signed) == 1 else 'bundles'}"
        + "".join(f", {log} up to entry {seq:,}" for log, seq in sorted(made.logs.items()))
    )
    typer.echo("Sign the logs anew (serinus audit checkpoint), and tell the pods (serinus keys export DIR).")


def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write the files.")],
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Copy the public halves and the retirements for pods and auditors; no private half is among them.

    Example: serinus keys export keys && kubectl create configmap serinus-keys --from-file=keys
    --dry-run=client -o yaml | kubectl apply -f -
    """
    names = export_keys(existing_home(home), directory)
    if output is Output.json:
        print_json(names)
        return
    for name in names:
        typer.echo(str(directory / name))


def _keeper(home: Home, acting: str | None) -> str:
    """Who acts, if the access policy lets them manage keys. Raises ``SRN-ACCESS-005``."""
    by = current_identity(acting)
    Access(home).require(by, "keys.manage", "signing keys")
    return by


def _validity(begins: str | None, ends: str | None, retired: str | None, valid: bool) -> str:
    if retired:
        return f"retired {retired[:10]}"
    span = " ".join([*([f"from {begins[:10]}"] if begins else []), *([f"until {ends[:10]}"] if ends else [])])
    return (span or "always") + ("" if valid else " (NOT NOW)")


def _day(flag: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return moment(text)
    except ValueError:
        raise click.UsageError(
            f"{flag} {text} is not a time such as 2027-03-01 or 2027-03-01T12:00Z"
        ) from None


def _digests(texts: list[str]) -> list[str]:
    for text in texts:
        if not (text.startswith("sha256:") and len(text) == 71):
            raise click.UsageError(f"--keep {text} is not sha256: and 64 hexadecimal digits")
    return texts
