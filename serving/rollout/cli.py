"""``serinus rollout``: start, watch and command a rollout."""

from __future__ import annotations

import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec.structs import replace

from serinus.home import Home, find_home
from serinus.identity import current_identity

from .remote import call
from .spec import Approval, RolloutSpec, Step, check, load_spec
from .status import Entry, Phase, RolloutStatus

HELP = """Move a candidate's share of live traffic by evidence: start, watch, approve, stop.

\b
Exit codes of `status`:
   0   promoted, or in progress (without --watch)
   1   error (the reason is printed)    2   wrong usage
  10   rolled back                     11   aborted
  12   failed: nothing was moved       13   paused, or waits for approval
  14   --watch gave up after --timeout
"""
app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False)

EXIT = {
    Phase.ROLLED_BACK: 10,
    Phase.ABORTED: 11,
    Phase.FAILED: 12,
    Phase.PAUSED: 13,
    Phase.AWAITING_APPROVAL: 13,
}
TIMED_OUT = 14


class Output(StrEnum):
    """How a command prints its result."""

    text = "text"
    json = "json"


HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Installation directory (default: $SERINUS_HOME, else ./.serinus)."),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="json for scripts.")]
AsOption = Annotated[
    str | None,
    typer.Option("--as", help="Acting identity (default: $SERINUS_USER, else you).", metavar="NAME"),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept in the history.")]


@app.command()
def start(
    candidate: Annotated[
        str | None, typer.Argument(help="Registered version, or a bundle's directory.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Spec in YAML (docs/rollout.md).")] = None,
    steps: Annotated[str | None, typer.Option(help="Weights, as 5,25,50,100; watched, not cleared.")] = None,
    min_requests: Annotated[int, typer.Option(help="With --steps: requests per step.")] = 100,
    min_seconds: Annotated[float, typer.Option(help="With --steps: seconds per step.")] = 30.0,
    approval: Annotated[
        bool, typer.Option(help="With --steps: ask for approval before the last step.")
    ] = True,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Start a rollout of CANDIDATE over the champion that serves; returns at once."""
    place = find_home(home)
    model = call(place, "status")["champion"]["model"]
    if file is not None:
        spec = load_spec(file)
        spec = replace(spec, candidate=candidate) if candidate else spec
    elif candidate is not None:
        spec = RolloutSpec(model=model, candidate=candidate)
    else:
        raise typer.BadParameter("name a CANDIDATE, or a spec with --file")
    if Path(spec.candidate).is_dir():
        spec = replace(spec, candidate=str(Path(spec.candidate).absolute()))
    if steps is not None:
        spec = replace(spec, steps=parse_steps(steps, min_requests, min_seconds, approval))
    check(spec)
    by = current_identity(acting)
    _show(_status(call(place, "rollout.start", spec=msgspec.to_builtins(spec), by=by)), output)


@app.command()
def status(
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow it to its end or to a person.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="With --watch: give up after so many seconds.")] = 3600.0,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Show where the rollout stands; the exit code says how it ended."""
    place = find_home(home)
    found = _watch(place, timeout, output) if watch else _status(call(place, "rollout.status"))
    if output is Output.json or not watch:
        _show(found, output)
    waits = not found.ended and found.phase not in EXIT
    raise typer.Exit(TIMED_OUT if watch and waits else EXIT.get(found.phase, 0))


@app.command()
def approve(
    reason: ReasonOption,
    role: Annotated[str, typer.Option(help="The role in which you approve.")] = "approver",
    acting: AsOption = None,
    home: HomeOption = None,
) -> None:
    """Approve the next step. Refused (exit code 1) for who built or started it."""
    by = current_identity(acting)
    call(find_home(home), "rollout.approve", by=by, role=role, reason=reason)
    typer.echo(f"Approved by {by} as {role}.")


@app.command()
def promote(reason: ReasonOption = "", acting: AsOption = None, home: HomeOption = None) -> None:
    """Skip what is left of the analysis; a required approval is still asked for."""
    _command("promote", reason, acting, home)


@app.command()
def pause(reason: ReasonOption = "", acting: AsOption = None, home: HomeOption = None) -> None:
    """Hold the weights where they are; a harmful candidate is still rolled back."""
    _command("pause", reason, acting, home)


@app.command()
def resume(reason: ReasonOption = "", acting: AsOption = None, home: HomeOption = None) -> None:
    """Go on after a pause."""
    _command("resume", reason, acting, home)


@app.command()
def abort(reason: ReasonOption = "", acting: AsOption = None, home: HomeOption = None) -> None:
    """End the rollout: the champion takes all traffic."""
    _command("abort", reason, acting, home)


@app.command()
def history(home: HomeOption = None, output: OutputOption = Output.text) -> None:
    """List what happened, when, and who or what did it."""
    entries = msgspec.convert(call(find_home(home), "rollout.history"), list[Entry])
    if output is Output.json:
        typer.echo(msgspec.json.format(msgspec.json.encode(entries), indent=2).decode())
        return
    for entry in entries:
        typer.echo(_line(entry))


def parse_steps(text: str, min_requests: int, min_seconds: float, approval: bool) -> tuple[Step, ...]:
    """``5,25,50,100`` as steps, the last one after an approval if asked for."""
    try:
        weights = [int(part) for part in text.split(",")]
        raw: list[dict[str, Any]] = [
            {"weight": w, "min_requests": min_requests, "min_seconds": min_seconds} for w in weights
        ]
        steps = msgspec.convert(raw, tuple[Step, ...])
    except (ValueError, msgspec.ValidationError) as problem:
        raise typer.BadParameter(
            f"--steps {text}: {problem}; write percents from 1 to 100: 5,25,50"
        ) from None
    return (*steps[:-1], replace(steps[-1], approval=Approval())) if approval else steps


def _command(kind: str, reason: str, acting: str | None, home: Path | None) -> None:
    by = current_identity(acting)
    found = _status(call(find_home(home), "rollout.command", kind=kind, by=by, reason=reason))
    typer.echo(f"{found.phase.value}: {found.message}")


def _watch(home: Home, timeout: float, output: Output) -> RolloutStatus:
    end = time.monotonic() + timeout
    told, last, pause = 0, "", threading.Event()
    while True:
        found = _status(call(home, "rollout.status"))
        if output is Output.text:
            for entry in found.history:
                if entry.seq > told:
                    typer.echo(_line(entry))
            told = max(told, found.seq)
            if found.reason != last and not found.ended:
                typer.echo(f"         {found.phase.value} {found.share} {found.reason}: {found.message}")
            last = found.reason
        if found.ended or found.phase in EXIT or time.monotonic() > end:
            return found
        pause.wait(1.0)


def _status(raw: Any) -> RolloutStatus:
    return msgspec.convert(raw, RolloutStatus)


def _show(found: RolloutStatus, output: Output) -> None:
    if output is Output.json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    typer.echo(f"{found.id}: {found.phase.value}, {found.candidate} at {found.share} beside {found.champion}")
    typer.echo(f"  {found.message or found.reason}")
    tally = found.canary_tally
    typer.echo(f"  canary: {tally.requests:.0f} requests, {tally.bad:.0f} answered badly")
    for guard in found.verdict.guards if found.verdict else ():
        typer.echo(f"  guard {guard.guard}: {guard.outcome}, evidence 10^{guard.log10_e:.1f}. {guard.reason}")
    for condition in found.conditions:
        detail = f": {condition.message}" if condition.message else ""
        typer.echo(f"  {condition.type} {condition.status} ({condition.reason}{detail})")


def _line(entry: Entry) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(entry.at))
    who = "" if entry.actor == "rollout engine" else f" [{entry.actor}]"
    return f"{at} {entry.phase} {entry.weight} % {entry.reason}: {entry.message}{who}"
