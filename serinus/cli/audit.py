"""``serinus audit``: verify chained logs, and read the log of actions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Annotated, Any

import click
import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from serinus.bundle import Keyring
from serinus.chain import ChainBroken, Verification, find_logs, segments, verify_log
from serinus.chain.checkpoint import checkpoints_path, read_checkpoints, vouched
from serinus.chain.segments import segment_number
from serinus.cli.auditor import checkpoint, export
from serinus.cli.options import HomeOption, Output, OutputOption, group, print_json, print_table
from serinus.home import Home, existing_home, find_home
from serinus.registry import Registry

_LONG = 64 << 20


def audit_app() -> typer.Typer:
    """The commands."""
    app = group("The tamper-evident log of actions and decisions.")
    app.command()(verify)
    app.command("list")(list_actions)
    app.command()(checkpoint)
    app.command()(export)
    return app


def verify(
    logs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Logs, directories or patterns (default: the audit log and every decision log of the home). "
            "A log stands for all its segments; a segment, by its own name, for itself alone."
        ),
    ] = None,
    known: Annotated[
        list[str] | None,
        typer.Option(
            help="SEQ:HASH noted elsewhere, which the log must still hold; so a log cut short is found out."
        ),
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(help="Checkpoints kept elsewhere (default: those beside each log, if there are any)."),
    ] = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Recompute every hash. Exit code 1, with file, line and entry, where a chain is broken; 2 for no such log.

    The signed checkpoints of a log are verified too, and the log must still hold what they say.
    """
    # An auditor verifies logs where there is no installation, whatever the environment says.
    installation = find_home() if logs and home is None else existing_home(home)
    found = list(find_logs(_given(logs, installation)))
    noted = _noted(known or [])
    if checkpoints is not None and not checkpoints.is_file():
        raise click.UsageError(f"there is no file {checkpoints}")
    trusted = Keyring.load(installation.keys)
    if (noted or checkpoints) and len(found) != 1:
        raise click.UsageError(f"--known and --checkpoints go with one log, not with {len(found)}")
    results: list[Verification] = []
    with _progress(found, shown=output is Output.text) as told:
        for log in found:
            signed = vouched(read_checkpoints(checkpoints or checkpoints_path(log)), trusted, log)
            # A lone segment can only be held against what it holds.
            signed = {} if segment_number(log) is not None else signed
            result = verify_log(log, known=signed | noted, progress=told)
            results.append(result)
            if output is Output.text:
                _print(result)
    if output is Output.json:
        print_json(
            {
                "sound": all(r.broken is None for r in results),
                "logs": [{"sound": r.broken is None, **msgspec.to_builtins(r)} for r in results],
            }
        )
    elif not found:
        typer.echo(f"There is no log yet in {installation.root}.")
    if any(r.broken is not None for r in results):
        raise typer.Exit(1)


def list_actions(home: HomeOption = None, output: OutputOption = Output.text) -> None:
    """List recorded actions: when, who, what, on which subject, why."""
    entries = list(Registry(existing_home(home)).audit.entries())
    if output is Output.json:
        print_json(entries)
        return
    table = Table("time", "actor", "action", "subject", "reason", box=None)
    for entry in entries:
        table.add_row(entry.time, entry.actor, entry.action, entry.subject, entry.reason)
    print_table(table)


def _given(logs: Sequence[str] | None, home: Home) -> list[Path]:
    """What the user named, patterns filled in. Raises click.UsageError for what does not exist."""
    if not logs:
        return [home.audit, home.decisions]
    paths: list[Path] = []
    for text in logs:
        path = Path(text)
        matched = [path] if path.exists() or segments(path) else [Path(p) for p in sorted(glob(text))]  # noqa: PTH207  the pattern may be absolute
        if not matched:
            raise click.UsageError(f"there is no log {text}")
        paths += [p for p in matched if p.is_dir() or p.suffix != ".lock"]
    return paths


def _noted(known: Sequence[str]) -> dict[int, str]:
    noted: dict[int, str] = {}
    for text in known:
        seq, _, digest = text.partition(":")
        if not seq.isdecimal() or len(digest) != 64:
            raise click.UsageError(f"--known {text} is not NUMBER:HASH, with a hash of 64 hexadecimal digits")
        noted[int(seq)] = digest
    return noted


def _print(result: Verification) -> None:
    if result.broken is not None:
        typer.echo(f"serinus: {ChainBroken.of(result.broken)}", err=True)
        return
    files = "" if result.files == 1 else f" in {result.files} files"
    line = f"{result.log}: {result.entries:,} entries{files}, sound; last hash {result.head[:16]}"
    if result.first != 1:
        line += f" (a segment alone, from entry {result.first:,}; what came before was not looked at)"
    typer.echo(line)


@contextmanager
def _progress(logs: Sequence[Path], *, shown: bool) -> Generator[Callable[[int], None]]:
    """A bar on the terminal where there is much to read; nothing in a pipe."""
    sizes = [_size(log) for log in logs]
    if not shown or not sys.stderr.isatty() or sum(sizes) < _LONG:
        yield lambda size: None
        return
    columns: list[Any] = [
        TextColumn("verifying"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verify", total=sum(sizes))
        before = last = 0

        def told(size: int) -> None:
            nonlocal before, last
            if size < last:  # the next log
                before += last
            last = size
            bar.update(task, completed=before + size)

        yield told


def _size(log: Path) -> int:
    files = [path for _, path in segments(log)] + [log]
    return sum(path.stat().st_size for path in files if path.exists())
