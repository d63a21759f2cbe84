"""``serinus up``, ``status`` and ``down``: the embedded platform from any shell."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from serinus.durations import format_duration
from serinus.errors import SerinusError
from serinus.home import Home, find_home, unwritable
from serving.rollout.remote import CONTROL, call

if TYPE_CHECKING:
    from .platform import Settings

app = typer.Typer(
    help="The embedded platform: one model behind a real Envoy, on this machine.",
    no_args_is_help=True,
    add_completion=False,
)


class Output(StrEnum):
    """How a command prints its result."""

    text = "text"
    json = "json"


HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Installation directory (default: $SERINUS_HOME, else ./.serinus)."),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="json for scripts.")]


@app.command()
def up(
    champion: Annotated[
        str | None,
        typer.Argument(
            help="Version to serve: a number, latest, champion, or MODEL/VERSION.", metavar="[VERSION]"
        ),
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="Serve this bundle's directory instead.")] = None,
    model: Annotated[str | None, typer.Option(help="Which model, if several are registered.")] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for clients; 0: the kernel chooses.")
    ] = 8080,
    host: Annotated[str, typer.Option(help="Address for clients.")] = "127.0.0.1",
    drift: Annotated[bool, typer.Option(help="Run the drift monitor beside the scorer.")] = True,
    outcomes: Annotated[
        bool, typer.Option(help="Join late labels to decisions: realised performance, label guards.")
    ] = True,
    retrain: Annotated[
        str | None, typer.Option(help="Command that retrains, run by the alert receiver.", metavar="COMMAND")
    ] = None,
    foreground: Annotated[
        bool, typer.Option(help="Stay in this shell; Ctrl-C takes everything down.")
    ] = False,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Start Envoy, the scorer and what belongs to them, and leave them running.

    Serves what served last, else the registry's champion. Clients use one port in
    the Seldon V1 protocol (/api/v1.0/predictions) and the Open Inference Protocol V2.
    Exit code 0 once requests are answered, 1 with the reason if that failed.
    """
    # Here and not above: `status` and `down` answer at once without these libraries.
    from .platform import Settings

    if bundle is not None and champion is not None:
        raise typer.BadParameter(f"give --bundle or the version {champion}, not both", param_hint="--bundle")
    if bundle is not None and not bundle.is_dir():
        raise typer.BadParameter(f"there is no directory {bundle}", param_hint="--bundle")
    place = find_home(home)
    settings = Settings(host=host, port=port, drift=drift, outcomes=outcomes, retrain=retrain)
    reference = str(bundle.absolute()) if bundle else champion
    if foreground:
        from .daemon import log_to_stderr, serve

        log_to_stderr()
        asyncio.run(
            serve(
                place,
                settings,
                champion=reference,
                model=model,
                ready=lambda p: _say_up(p.url, p.admin_url, output),
            )
        )
        return
    said = _detach(place, settings, reference, model)
    _say_up(said["url"], said["admin_url"], output)


@app.command()
def status(home: HomeOption = None, output: OutputOption = Output.text) -> None:
    """Show what is running: address, champion, processes, rollout. Exit code 1 if nothing is."""
    found: dict[str, Any] = call(find_home(home), "status")
    if output is Output.json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    champion, rollout = found["champion"], found["rollout"]
    typer.echo(f"serving    {found['url']}  (up {format_duration(round(found['up_seconds']))})")
    typer.echo(f"champion   {champion['model']} {champion['name']}  {champion['digest'][:19]}")
    if rollout:
        line = f"{rollout['candidate']} {rollout['phase']} at {rollout['weight']} %: {rollout['message']}"
        typer.echo(f"rollout    {line}")
    for name, state in found["sidecars"].items():
        typer.echo(f"{name:<10} {state['url']}  {'ready' if state['ready'] else 'not ready yet'}")
    typer.echo("processes  " + ", ".join(f"{name} {pid}" for name, pid in sorted(found["processes"].items())))
    typer.echo(f"admin      {found['admin_url']}")
    typer.echo(f"logs       {found['logs']}")


@app.command()
def down(home: HomeOption = None, output: OutputOption = Output.text) -> None:
    """Stop everything; exit code 0 when no process is left, also if none was running."""
    place = find_home(home)
    pid = lock_owner(place)
    if pid is None:
        (place.root / "platform" / CONTROL).unlink(missing_ok=True)
        _say_down("Nothing is running here.", stopped=False, output=output)
        return
    try:
        call(place, "down")
    except SerinusError:
        # It has no control port (yet), or does not answer: it understands a signal.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    _wait_gone(place, pid)
    _say_down("Everything is down.", stopped=True, output=output)


def _detach(home: Home, settings: Settings, champion: str | None, model: str | None) -> dict[str, Any]:
    """Start the daemon in a session of its own and wait for its word."""
    log = home.platform / "logs" / "supervisor.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    except OSError as error:
        raise unwritable(log, error) from error
    command = [sys.executable, "-m", "serving.local.daemon", "--home", str(home.root)]
    command += ["--settings", msgspec.json.encode(settings).decode()]
    command += ["--champion", champion] if champion else []
    command += ["--model", model] if model else []
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file, start_new_session=True
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
    except KeyboardInterrupt:
        process.terminate()
        process.wait(30)
        raise
    said: dict[str, Any] = msgspec.json.decode(line) if line else {}
    if said.get("ready"):
        return said
    process.wait(30)
    error = said.get("error")
    if error:
        raise SerinusError(error["code"], error["what"], where=error["where"], hint=error["hint"])
    raise SerinusError(
        "SRN-PLATFORM-005", "the platform ended while it started", where=str(log), hint="The log says more."
    )


def _say_up(url: str, admin_url: str, output: Output) -> None:
    if output is Output.json:
        typer.echo(msgspec.json.encode({"url": url, "admin_url": admin_url}).decode())
        return
    typer.echo(f"Serving on {url}  (Seldon V1: /api/v1.0/predictions, Open Inference V2: /v2/models/…/infer)")
    typer.echo("Next: serinus status, serinus rollout start VERSION, serinus down")


def _say_down(text: str, *, stopped: bool, output: Output) -> None:
    typer.echo(msgspec.json.encode({"stopped": stopped}).decode() if output is Output.json else text)


def lock_owner(home: Home) -> int | None:
    """The process whose platform runs in this home. Holding the lock is what being alive means."""
    with contextlib.suppress(OSError, ValueError), (home.root / "platform" / "lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return int(file.read(32))
    return None


def _wait_gone(home: Home, pid: int, timeout: float = 60.0) -> None:
    end = time.monotonic() + timeout
    pause = threading.Event()
    while lock_owner(home) == pid:
        if time.monotonic() > end:
            raise SerinusError(
                "SRN-PLATFORM-012",
                f"process {pid} has not ended within {timeout:g} s",
                where=str(home.platform),
                hint=f"See {home.platform / 'logs' / 'supervisor.log'}; kill -9 {pid} leaves nothing behind.",
            )
        pause.wait(0.05)


__all__ = ["app", "lock_owner"]
