"""``serinus audit checkpoint`` and ``export``: what is handed to an auditor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import click
import msgspec
import typer
from rich.console import Console

from serinus.access import Access
from serinus.bundle import Keyring, SigningKey
from serinus.chain import ChainBroken, find_logs, verify_log
from serinus.chain.checkpoint import (
    Checkpoint,
    append_checkpoint,
    checkpoints_path,
    lost_logs,
    newest,
    read_checkpoints,
    sign_checkpoint,
    unwritable,
    vouched,
)
from serinus.cli.options import AsOption, HomeOption, Output, OutputOption, print_json
from serinus.cli.standing import places_of
from serinus.export import export_archive, parse_period
from serinus.home import existing_home
from serinus.identity import current_identity
from serinus.registry import Registry


def checkpoint(
    copy: Annotated[
        Path | None,
        typer.Option(
            help="Also add the checkpoints to files in this directory: another machine's, or write-once."
        ),
    ] = None,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Verify every log of the home and sign how long each is and its last hash.

    Run it once a day or hour (cron). Kept elsewhere with --copy, a checkpoint shows when
    entries were cut off a log's end or the whole log was written anew; `audit verify`
    compares. A log that has not grown gets none. Exit code 1 where a log is broken: it gets none.
    """
    installation = existing_home(home)
    Access(installation).require(current_identity(acting), "audit.checkpoint", "every log")
    key, trusted = None, Keyring.load(installation.keys)
    made: list[Checkpoint] = []
    broken, copied = False, 0
    places = places_of(installation)
    logs = list(find_logs(places))
    for lost in lost_logs(places, logs, trusted):
        broken = True
        typer.echo(f"serinus: {ChainBroken.of(lost)}", err=True)
    for log in logs:
        place = checkpoints_path(log)
        before = read_checkpoints(place)
        found = verify_log(log, known=vouched(before, trusted, log))
        if found.broken is not None:
            broken = True
            typer.echo(f"serinus: {ChainBroken.of(found.broken)}", err=True)
            continue
        if copy is not None:
            # Those that are not there yet: made before there was a copy, or while it could not be written.
            copied += _copy(before, copy / place.name)
        last = newest(before)
        if found.entries == 0 or (last is not None and last.seq == found.entries):
            continue
        now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
        key = key or SigningKey.load_or_create(installation.keys)  # not before there is something to sign
        signed = sign_checkpoint(log, found.entries, found.head, now, key)
        append_checkpoint(place, signed)
        if copy is not None:
            copied += _copy([signed], copy / place.name)
        made.append(signed)
        if output is Output.text:
            typer.echo(
                f"{log}: entry {signed.seq:,}, hash {signed.hash}, signed by {signed.signature.key_id}"
            )
    if output is Output.json:
        print_json(made)
    else:
        if not logs and not broken:
            typer.echo(f"There is no log yet in {installation.root}.")
        elif not made and not broken:
            typer.echo("No log has grown since its last checkpoint.")
        if copy is not None:
            typer.echo(f"{_counted(copied, 'checkpoint')} copied to {copy}")
    if broken:
        raise typer.Exit(1)


def _copy(checkpoints: Sequence[Checkpoint], path: Path) -> int:
    """Add those that a file elsewhere does not hold; how many. Raises ``SRN-AUDIT-002``, ``-004``, ``-008``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    there = {(known.seq, known.signature.value) for known in read_checkpoints(path)}
    new = [one for one in checkpoints if (one.seq, one.signature.value) not in there]
    for checkpoint in new:
        append_checkpoint(path, checkpoint)
    return len(new)


def export(
    period: Annotated[
        str,
        typer.Option("--for", help="2026, 2026-Q3, 2026-07 or 2026-07-01..2026-09-30; days in UTC."),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Only this model: others' entries stay linked, without what they say."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The archive (default: audit-MODEL-PERIOD.tar.gz here).")
    ] = None,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Write one archive for an auditor, which verifies with openssl and sha256sum alone.

    It holds what people and programs did and what was decided in the period, checkpoints,
    and of each version its manifest, card, validation, origin and approvals. The export is
    itself an entry of the audit log. Entries that the installation never got, as the archive of a
    cluster tells when it notices, are named as missing, here, in the archive and by its script,
    which then exits with 3. What nobody told of is refused. Example:

    serinus audit export --for 2026-Q3 --model fraud
    """
    try:
        span = parse_period(period)
    except ValueError as error:
        raise click.UsageError(f"--for: {error}") from None
    path = out or Path(
        "-".join(["audit", *([model] if model else []), period]).replace("..", "_") + ".tar.gz"
    )
    if not path.name.endswith(".tar.gz"):
        raise click.UsageError(f"--out {path}: the archive's name ends in .tar.gz")
    installation, by = existing_home(home), current_identity(acting)
    Access(installation).require(by, "audit.export", f"{model or 'every model'} {period}")
    console = Console(stderr=True, quiet=output is not Output.text)
    with console.status("verifying and copying") as status:
        exported = export_archive(
            installation,
            span,
            model,
            path,
            by=by,
            now=time.time(),
            progress=lambda log: status.update(f"verifying and copying {log.name}"),
        )
    if model and not exported.versions and model not in Registry(installation).models():
        # Not refused: the logs may be here and the registry elsewhere.
        known = ", ".join(Registry(installation).models()) or "none"
        typer.echo(f"serinus: no version of {model} is registered here; registered models: {known}", err=True)
    if output is Output.json:
        print_json(msgspec.to_builtins(exported))
        return
    typer.echo(f"{path}: {path.stat().st_size:,} bytes")
    for piece in exported.logs:
        hidden = f", {piece.left_out:,} of other models without their text" if piece.left_out else ""
        typer.echo(f"  {piece.log}: entries {piece.first:,} to {piece.last:,}, {piece.shown:,} shown{hidden}")
    for gap in exported.missing:
        entries = (
            f"entry {gap.first:,} is"
            if gap.first == gap.last
            else f"entries {gap.first:,} to {gap.last:,} are"
        )
        typer.echo(f"  {gap.log}: {entries} MISSING, as was told at {gap.told}")
    if not exported.complete:
        gaps = _counted(len(exported.missing), "told gap")
        typer.echo(f"serinus: the archive is complete but for {gaps}, and says so", err=True)
    counted = f"{_counted(len(exported.versions), 'version')}, {_counted(exported.checkpoints, 'checkpoint')}"
    typer.echo(f"  {counted}, signed by {exported.key}")
    typer.echo(f"Verify: tar xzf {path.name} && sh {path.name.removesuffix('.tar.gz')}/verify.sh")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
