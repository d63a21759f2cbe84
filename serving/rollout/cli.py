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

from serinus.home import existing_home, find_home

from .desk import Desk, LocalDesk, Wish
from .kept import Kept, kept
from .spec import Approval, Step
from .status import Entry, Phase, RolloutStatus

HELP = """Move a candidate's share of live traffic by evidence: start, watch, approve, stop.

Speaks to the platform of this machine; with --namespace, --context or --kubeconfig to the
ModelRollouts of a Kubernetes cluster. Both take the same words and give the same exit codes.

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


CLUSTER = "On a cluster"
HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Installation directory (default: $SERINUS_HOME, else ./.serinus)."),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="json for scripts.")]
AsOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        help="Acting identity (default: $SERINUS_USER, else you; on a cluster you, impersonation needs the right).",
        metavar="NAME",
    ),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept in the history.")]
NamespaceOption = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="Namespace (default: the context's).",
        rich_help_panel=CLUSTER,
        metavar="NAME",
    ),
]
ContextOption = Annotated[
    str | None,
    typer.Option(
        help="Context of the kubeconfig (default: the current one).", rich_help_panel=CLUSTER, metavar="NAME"
    ),
]
KubeconfigOption = Annotated[
    str | None,
    typer.Option(
        help="Which kubeconfig (default: $KUBECONFIG, else kubectl's).",
        rich_help_panel=CLUSTER,
        metavar="FILE",
    ),
]
RolloutOption = Annotated[
    str | None,
    typer.Option(
        help="Which ModelRollout (default: the only one under way).", rich_help_panel=CLUSTER, metavar="NAME"
    ),
]


@app.command()
def start(
    candidate: Annotated[
        str | None,
        typer.Argument(
            help="Registered version, or a bundle's directory; on a cluster a bundle's address, as s3://…"
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Spec in YAML (docs/rollout.md); on a cluster a ModelRollout."),
    ] = None,
    steps: Annotated[str | None, typer.Option(help="Weights, as 5,25,50,100; watched, not cleared.")] = None,
    min_requests: Annotated[int, typer.Option(help="With --steps: requests per step.")] = 100,
    min_seconds: Annotated[float, typer.Option(help="With --steps: seconds per step.")] = 30.0,
    approval: Annotated[
        bool, typer.Option(help="With --steps: ask for approval before the last step.")
    ] = True,
    target: Annotated[
        str | None,
        typer.Option(help="SeldonDeployment to roll out over.", rich_help_panel=CLUSTER, metavar="NAME"),
    ] = None,
    digest: Annotated[
        str | None, typer.Option(help="The bundle's digest, sha256:….", rich_help_panel=CLUSTER)
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the ModelRollout (default: from target and digest).", rich_help_panel=CLUSTER
        ),
    ] = None,
    built_by: Annotated[
        str | None,
        typer.Option(
            help="Who built the candidate, so that they cannot approve it.", rich_help_panel=CLUSTER
        ),
    ] = None,
    acting: AsOption = None,
    home: HomeOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Start a rollout of CANDIDATE over the champion that serves; returns at once."""
    wish = Wish(
        candidate=candidate,
        file=file,
        steps=parse_steps(steps, min_requests, min_seconds, approval) if steps is not None else None,
        target=target,
        digest=digest,
        name=name,
        built_by=built_by,
    )
    _show(_desk(home, namespace, context, kubeconfig, None, acting).start(wish), output)


@app.command()
def status(
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow it to its end or to a person.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="With --watch: give up after so many seconds.")] = 3600.0,
    home: HomeOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    rollout: RolloutOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Show where the rollout stands; the exit code says how it ended."""
    desk = _desk(home, namespace, context, kubeconfig, rollout, None)
    found = _watch(desk, timeout, output) if watch else desk.status()
    if output is Output.json or not watch:
        _show(found, output)
    if output is Output.text and found.awaits:
        typer.echo(f"  waits for the word of: {_whom(desk, found)}")
    waits = not found.ended and found.phase not in EXIT
    raise typer.Exit(TIMED_OUT if watch and waits else EXIT.get(found.phase, 0))


@app.command()
def approve(
    reason: ReasonOption,
    role: Annotated[str, typer.Option(help="The role in which you approve.")] = "approver",
    acting: AsOption = None,
    home: HomeOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    rollout: RolloutOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Approve the next step, and say whose word is still missing. Refused (exit code 1) for who built or started it."""
    desk = _desk(home, namespace, context, kubeconfig, rollout, acting)
    by, found = desk.approve(role, reason)
    if output is Output.json:
        said = {"by": by, "role": role, "missing": found.awaits}
        typer.echo(msgspec.json.format(msgspec.json.encode(said), indent=2).decode())
        return
    typer.echo(f"Approved by {by} as {role}.")
    if found.awaits:
        typer.echo(f"Still missing: {_whom(desk, found)}.")


@app.command()
def history(
    every: Annotated[
        bool, typer.Option("--all", help="Every rollout of this home, oldest first, not only the last.")
    ] = False,
    home: HomeOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    rollout: RolloutOption = None,
    output: OutputOption = Output.text,
) -> None:
    """List what happened in the last rollout, when (UTC), and who or what did it; no platform has to run."""
    if every:
        if namespace or context or kubeconfig or rollout:
            raise typer.BadParameter(
                "--all belongs to this machine: `kubectl get modelrollouts` lists a cluster's"
            )
        _show_all(kept(existing_home(home)), output)
        return
    entries = _desk(home, namespace, context, kubeconfig, rollout, None).history()
    if output is Output.json:
        typer.echo(msgspec.json.format(msgspec.json.encode(entries), indent=2).decode())
        return
    for entry in entries:
        typer.echo(_line(entry))


def _show_all(found: list[Kept], output: Output) -> None:
    if output is Output.json:
        listed = [
            {
                **{name: getattr(one.status, name) for name in ("id", "model", "champion", "candidate")},
                **{name: getattr(one.status, name) for name in ("started_by", "started_at", "phase")},
                "history": one.history,
            }
            for one in found
        ]
        typer.echo(msgspec.json.format(msgspec.json.encode(listed), indent=2).decode())
        return
    if not found:
        typer.echo("There has been no rollout here.")
    for one in found:
        status = one.status
        typer.echo(
            f"{status.id}: {status.phase.value}, {status.candidate} beside {status.champion}, "
            f"started by {status.started_by}"
        )
        for entry in one.history:
            typer.echo(f"  {_line(entry)}")


def _command(kind: str, doc: str) -> None:
    """Each command is the same but for its word."""

    def command(
        reason: ReasonOption = "",
        acting: AsOption = None,
        home: HomeOption = None,
        namespace: NamespaceOption = None,
        context: ContextOption = None,
        kubeconfig: KubeconfigOption = None,
        rollout: RolloutOption = None,
        output: OutputOption = Output.text,
    ) -> None:
        desk = _desk(home, namespace, context, kubeconfig, rollout, acting)
        found = desk.command(kind, reason)
        if output is Output.json:
            _show(found, output)
            return
        typer.echo(f"{found.phase.value}: {found.message}")

    app.command(kind, help=doc)(command)


for _kind, _doc in (
    ("promote", "Skip what is left of the analysis; a required approval is still asked for."),
    ("pause", "Hold the weights where they are; a harmful candidate is still rolled back."),
    ("resume", "Go on after a pause."),
    ("abort", "End the rollout: the champion takes all traffic."),
):
    _command(_kind, _doc)


def _desk(
    home: Path | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
    rollout: str | None,
    acting: str | None,
) -> Desk:
    """A cluster if one is asked for by any of its flags, else the platform of this machine."""
    if not (namespace or context or kubeconfig):
        if rollout is not None:
            raise typer.BadParameter("--rollout belongs to a cluster: add --namespace or --context")
        return LocalDesk(find_home(home), acting)
    if home is not None:
        raise typer.BadParameter("--home is the platform of this machine; leave it out for a cluster")
    from .kube.desk import KubeDesk  # brings the Kubernetes client, which the platform here does not need

    return KubeDesk(
        namespace=namespace, context=context, kubeconfig=kubeconfig, rollout=rollout, acting=acting
    )


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


def _watch(desk: Desk, timeout: float, output: Output) -> RolloutStatus:
    end = time.monotonic() + timeout
    told, last, pause = 0, "", threading.Event()
    while True:
        found = desk.status()
        if output is Output.text:
            for entry in found.history:
                if entry.seq > told:
                    typer.echo(_line(entry))
            told = max(told, found.seq)
            if found.reason != last and not found.ended:
                typer.echo(f"{' ' * 21}{found.phase.value} {found.share} {found.reason}: {found.message}")
            last = found.reason
        if found.ended or found.phase in EXIT or time.monotonic() > end:
            return found
        pause.wait(1.0)


def _show(found: RolloutStatus, output: Output) -> None:
    if output is Output.json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    typer.echo(f"{found.id}: {found.phase.value}, {found.candidate} at {found.share} beside {found.champion}")
    typer.echo(f"  {found.message or found.reason}")
    tally = found.canary_tally
    typer.echo(f"  canary: {tally.requests:.0f} requests, {tally.bad:.0f} answered badly")
    for guard in found.verdict.guards if found.verdict else ():
        evidence = round(guard.log10_e, 1) + 0.0  # no sign where there is none
        outcome = f"{guard.outcome} (only observed)" if guard.mode == "observe" else guard.outcome
        typer.echo(f"  guard {guard.guard}: {outcome}, evidence 10^{evidence:.1f}. {guard.reason}")
    for condition in found.conditions:
        detail = f": {condition.message}" if condition.message else ""
        typer.echo(f"  {condition.type} {condition.status} ({condition.reason}{detail})")


def _whom(desk: Desk, found: RolloutStatus) -> str:
    """Whose words are missing: each role, and who has it where that is known."""
    named = [(role, desk.who_has(role, found)) for role in found.awaits]
    return "; ".join(f"{role} ({people})" if people else role for role, people in named)


def _line(entry: Entry) -> str:
    # In UTC, as every log has it: an hour of the clock's change is there twice in local time.
    at = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(entry.at))
    who = "" if entry.actor == "rollout engine" else f" [{entry.actor}]"
    return f"{at} {entry.phase} {entry.weight} % {entry.reason}: {entry.message}{who}"
