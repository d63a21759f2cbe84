"""``serinus privacy copy``: the key store in another database, and the move to it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import click
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from serinus.access import Access
from serinus.audit import AuditLog
from serinus.cli.options import AsOption, HomeOption, Output, OutputOption, counted, print_json
from serinus.home import existing_home
from serinus.identity import current_identity
from serinus.privacy import open_store
from serinus.privacy.copying import Copied, copy_store
from serinus.privacy.opening import URLS, is_file, open_master, open_target


def copy_command(
    target: Annotated[
        str,
        typer.Argument(
            help="Where to: postgresql://user@host:5432/database without a password, or a file.",
            metavar="TARGET",
        ),
    ],
    switch: Annotated[
        bool,
        typer.Option(
            "--switch", help="Close the source when all of it is in TARGET: nobody uses it any more."
        ),
    ] = False,
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--password-file",
            help="File with the password of TARGET (default: $SERINUS_SUBJECT_KEYS_PASSWORD_FILE, or libpq's).",
        ),
    ] = None,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Copy the key store to TARGET, from a file to PostgreSQL or back; each key is read back and opened.

    The source is what $SERINUS_SUBJECT_KEYS says, and may be in use. Interrupted, it goes on when repeated;
    repeated, it brings what came since, and what either side erased stays erased. With --switch the source is
    closed at the end. TARGET has to be empty or a copy of this store. Exit code 1 if a key cannot be opened.
    """
    installation, who = existing_home(home), current_identity(acting)
    Access(installation).require(who, "keys.manage", "the key store")
    if _has_password(target):
        raise click.UsageError(
            "TARGET holds a password, which everybody on this machine can read in the process list: "
            "give its file with --password-file"
        )
    if not target.startswith(URLS) and not is_file(target):
        raise click.UsageError(
            "TARGET is postgresql://user@host:5432/database or the path of a file, and the password is in the file "
            "that --password-file names"
        )
    source = open_store(installation)
    engine = open_target(target, password_file=password_file)
    try:
        audit = AuditLog(installation.audit)
        places = {"from": source.where, "to": engine.where}
        audit.append(
            actor=who, action="privacy-copy", subject="key store", details={**places, "switch": switch}
        )
        with _progress(shown=output is Output.text) as progress:
            done = copy_store(source, engine, open_master(installation), switch=switch, progress=progress)
        if done.switched:
            audit.append(
                actor=who, action="privacy-moved", subject="key store", details={**places, "keys": done.keys}
            )
    finally:
        engine.close()
        source.close()
    if output is Output.json:
        print_json(done)
    else:
        _tell(done)
    if done.unreadable:
        raise typer.Exit(1)


def _tell(done: Copied) -> None:
    typer.echo(
        f"{done.target}: {counted(done.keys, 'key')} of {done.source} looked at: {done.copied:,} copied, "
        f"{done.there:,} there before, {done.destroyed:,} destroyed by an erasure there; "
        f"{counted(done.erasures, 'erasure')} brought."
    )
    if done.taken_back:
        typer.echo(f"{counted(done.taken_back, 'key')} erased since the copy before: destroyed there too.")
    for key in done.unreadable[:10]:
        typer.echo(f"Key {key} opens with no master key that is here; it was copied as it is.")
    if done.unreadable:
        typer.echo(f"{counted(len(done.unreadable), 'key')} not to be opened, so the source was not closed.")
    elif done.switched:
        typer.echo(
            f"{done.source} is closed. Set SERINUS_SUBJECT_KEYS to the new store everywhere; destroy the old one as a "
            "backup of it."
        )
    else:
        typer.echo("When nobody writes to the source any more, repeat this with --switch.")


def _has_password(target: str) -> bool:
    try:
        parts = urlsplit(target)
        return parts.scheme != "" and (parts.password is not None or "password=" in parts.query)
    except ValueError:
        return False


@contextmanager
def _progress(*, shown: bool) -> Generator[Callable[[int, int], None]]:
    """A bar on the terminal; nothing in a pipe."""
    if not shown or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    columns = TextColumn("copying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("copy", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
