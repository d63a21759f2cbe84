"""``serinus audit``: verify chained logs, and read the log of actions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
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
from serinus.chain import Break, ChainBroken, Gaps, Verification, find_logs, read_gaps, segments, verify_log
from serinus.chain.checkpoint import checkpoints_path, lost_logs, read_checkpoints, vouched
from serinus.chain.segments import segment_number
from serinus.cli.auditor import checkpoint, export
from serinus.cli.options import HomeOption, Output, OutputOption, counted, group, print_json, print_table
from serinus.cli.standing import places_of
from serinus.errors import SerinusError
from serinus.home import Home, beside, existing_home, find_home
from serinus.registry import Registry

_LONG = 64 << 20
_UNREAD = ("SRN-AUDIT-004", "SRN-AUDIT-010")


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
            help="Logs, directories or patterns (default: the audit log and every decision log of the home, and the "
            "archive's log of gaps). "
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
        typer.Option(
            help="Checkpoints kept elsewhere: the directory that `checkpoint --copy` filled, or the file of one "
            "log (default: those beside each log, if there are any)."
        ),
    ] = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Recompute every hash. Exit code 1, with file, line and entry, where a chain is broken; 2 for no such log.

    The signed checkpoints of a log are verified too, and the log must still hold what they say.
    A log that is gone altogether is found by the checkpoints that it left. A log or a directory that cannot be read
    is neither sound nor broken: it is told, the others are verified, and the exit code is 1.
    """
    # An auditor verifies logs where there is no installation, whatever the environment says.
    installation = find_home() if logs and home is None else existing_home(home)
    places = _given(logs, installation)
    unread: list[SerinusError] = []
    found = list(find_logs(places, unread=unread.append))
    hidden = bool(unread)
    noted = _noted(known or [])
    told_gaps = _gaps(installation) if logs is None else Gaps()
    if checkpoints is not None and not checkpoints.exists():
        raise click.UsageError(f"there is no file or directory {checkpoints}")
    elsewhere = checkpoints if checkpoints is not None and checkpoints.is_dir() else None
    trusted = Keyring.load(installation.keys)
    if (noted or (checkpoints and elsewhere is None)) and len(found) != 1:
        raise click.UsageError(
            f"--known and a file of --checkpoints go with one log, not with {len(found)}: name the log, "
            "or the directory of all checkpoints"
        )
    results: list[Verification] = []
    counts: list[int] = []
    with _progress(found, shown=output is Output.text) as told:
        for log in found:
            own = checkpoints_path(log)
            try:
                kept = read_checkpoints((elsewhere / own.name) if elsewhere else checkpoints or own)
                # A lone segment can only be held against what it holds.
                signed = {} if segment_number(log) is not None else vouched(kept, trusted, log)
                # Where a gap was told, the entry before it was here.
                ends = {gap.after: gap.head for gap in told_gaps.of(log).values() if gap.after}
                result = verify_log(log, known=ends | signed | noted, progress=told)
            except SerinusError as error:
                if error.code not in _UNREAD:
                    raise
                unread.append(error)
                continue
            results.append(result)
            counts.append(len(signed))
            if output is Output.text:
                _print(result, len(signed), elsewhere)
    # Of logs named one by one nobody says that they are all there are.
    whole = places if logs is None else [place for place in places if place.is_dir()]
    # What could not be looked for is not lost.
    copies = elsewhere if whole and not hidden else None
    again: list[SerinusError] = []
    lost = list(lost_logs(whole, found, trusted, copies, unread=again.append))
    lost += _unwritten(installation, found) if logs is None and not hidden else []
    unread += [error for error in again if error.where not in {known.where for known in unread}]
    if output is Output.json:
        listed = [
            {"sound": r.broken is None, **msgspec.to_builtins(r), "checkpoints": count}
            for r, count in zip(results, counts, strict=True)
        ]
        sound = not lost and all(r.broken is None for r in results)
        told_of = [error.to_dict() for error in unread]
        # What nobody could read is no pass, and no finding either.
        verdict = None if sound and unread else sound
        print_json({"sound": verdict, "logs": listed, "lost": lost, "unreadable": told_of})
    else:
        for gone in lost:
            typer.echo(f"serinus: {ChainBroken.of(gone)}", err=True)
        for error in unread:
            typer.echo(f"serinus: {error}", err=True)
        if not found and not lost and not unread:
            typer.echo(f"There is no log yet in {installation.root}.{beside(installation)}")
    if lost or unread or any(r.broken is not None for r in results):
        raise typer.Exit(1)


def _gaps(home: Home) -> Gaps:
    """Those that were told; none where their log does not tell: that is found when it is verified."""
    try:
        return read_gaps(home.root)
    except SerinusError:
        return Gaps()


def _unwritten(home: Home, found: Sequence[Path]) -> list[Break]:
    """The audit log, where it is gone though a registry is here, each of whose changes it told."""
    log = home.audit / "audit.jsonl"
    if log in found or not (home.root / "registry.db").exists():
        return []
    registry = Registry(home)
    count = sum(len(registry.versions(model)) for model in registry.models())
    if not count:
        return []
    return [Break(str(log), 0, 0, f"the registry holds {count:,} version(s), whose registration it told")]


def list_actions(home: HomeOption = None, output: OutputOption = Output.text) -> None:
    """List recorded actions: when, who, what, on which subject, why."""
    installation = existing_home(home)
    entries = list(Registry(installation).audit.entries())
    if output is Output.json:
        print_json(entries)
        return
    if not entries:
        typer.echo(f"No action is recorded yet in {installation.root}.")
        return
    table = Table("time", "actor", "action", "subject", "reason", box=None)
    for entry in entries:
        table.add_row(entry.time, entry.actor, entry.action, entry.subject, entry.reason)
    print_table(table)


def _given(logs: Sequence[str] | None, home: Home) -> list[Path]:
    """What the user named, patterns filled in. Raises click.UsageError for what does not exist."""
    if not logs:
        return places_of(home)
    paths: list[Path] = []
    for text in logs:
        path = Path(text)
        matched = [path] if _there(path) else [Path(p) for p in sorted(glob(text))]  # noqa: PTH207  the pattern may be absolute
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


def _print(result: Verification, signed: int, elsewhere: Path | None) -> None:
    if result.broken is not None:
        typer.echo(f"serinus: {ChainBroken.of(result.broken)}", err=True)
        return
    files = "" if result.files == 1 else f" in {result.files} files"
    held = f", holds {signed:,} checkpoint{'' if signed == 1 else 's'}" if signed else ""
    held = ", no checkpoint of it there" if elsewhere is not None and not signed else held
    entries = counted(result.entries, "entry", "entries")
    line = f"{result.log}: {entries}{files}, sound{held}; last hash {result.head[:16]}"
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
    found = 0
    files = [log]
    with suppress(SerinusError):
        files += [path for _, path in segments(log)]
    for path in files:
        with suppress(OSError):  # it is told of where it is read
            found += path.stat().st_size
    return found


def _there(path: Path) -> bool:
    """Whether there is a log; what cannot be looked at is told of where it is read."""
    try:
        return path.exists() or bool(segments(path))
    except (OSError, SerinusError):
        return True
