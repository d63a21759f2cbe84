"""``serinus lineage send``: what a backend has not had yet."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from serinus.cli.options import HomeOption, Output, OutputOption, counted, print_json
from serinus.errors import SerinusError
from serinus.home import existing_home
from serinus.lineage import journal
from serinus.lineage.backend import configured, open_backend
from serinus.lineage.outbox import Delivery, deliver, forget
from serinus.lineage.stages import record_stages


def send(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Files of events, or a pod's log, or - for stdin (default: all of the home).",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Send all of it, also what was sent before: for a new backend.")
    ] = False,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Send the lineage events that no backend has had yet, in the order in which they happened.

    The backend is whatever OpenLineage's client is configured for: OPENLINEAGE_URL, or an
    openlineage.yml. The stages that versions entered since (canary, champion, retired) are
    sent too. Sending twice does no harm: an event has the same run id for ever.

    Exit codes: 0 all was sent, 1 the backend is down or refused some (the rest is kept).

    Examples: OPENLINEAGE_URL=http://marquez:5000 serinus lineage send; kubectl logs POD | serinus lineage send -
    """
    # Its retries are the client's business; one line at the end says how it went.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    logging.getLogger("openlineage").setLevel(logging.ERROR)
    backend, place = open_backend(), configured()
    with tempfile.TemporaryDirectory(prefix="lineage-") as scratch:
        if files:
            paths = [_given(path, Path(scratch)) for path in files]
        else:
            installation = existing_home(home)
            record_stages(installation)
            paths = journal.files(installation.lineage)
        total = Delivery()
        for path in paths:
            if again and path.parent != Path(scratch):
                forget(path)
            total += deliver(path, backend)
            if total.why:
                break
    if output is Output.json:
        print_json({"backend": place, "sent": total.sent, "refused": total.refused, "why": total.why})
    elif not total.why:
        typer.echo(
            f"{counted(total.sent, 'event')} sent to {place}" + ("" if total.sent else ": it has all of them")
        )
    if total.why:
        typer.echo(
            f"serinus: {place} took {counted(total.sent, 'event')} and no more ({total.why}); "
            "the rest is kept, send again later",
            err=True,
        )
    if total.refused:
        typer.echo(f"serinus: {place} refused {counted(total.refused, 'event')}: not sent again", err=True)
    if total.why or total.refused:
        raise typer.Exit(1)


def _given(path: Path, scratch: Path) -> Path:
    """A copy without a memory of what was sent: a log is read whole each time."""
    copy = scratch / f"{len(list(scratch.iterdir()))}{journal.SUFFIX}"
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise SerinusError(
            "SRN-LINEAGE-007",
            f"the events cannot be read ({error.strerror or error})",
            where=str(path),
            hint="Give files of events or a log with events in it; without any, those of the home are sent.",
        ) from error
    copy.write_bytes(data if data.endswith(b"\n") or not data else data + b"\n")
    return copy
