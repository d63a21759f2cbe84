"""``serinus review``: decisions that a model referred to a person, and their answers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import click
import msgspec
import typer
from rich.table import Table

from serinus.chain import read_gaps, segments
from serinus.chain.segments import log_of
from serinus.cli.options import AsOption, HomeOption, Output, OutputOption, group, print_json, print_table
from serinus.cli.standing import vouching_of, warn_of_gaps
from serinus.durations import parse_duration
from serinus.events import DecisionEvent, WithheldEvent, find_decisions, withheld
from serinus.home import Home, existing_home
from serinus.identity import current_identity
from serinus.privacy import find_keys
from serinus.review import Case, ReviewDesk, leaning, words_of
from serinus.review.rules import BAD, GOOD

CaseArgument = Annotated[str, typer.Argument(metavar="REQUEST_ID", help="As serinus review list has it.")]
_SHOWN = 50
ModelOption = Annotated[str | None, typer.Option(help="Only this model.")]


def review_app() -> typer.Typer:
    """The commands."""
    app = group("Decisions that a model referred to a person: take one, look at it, answer it.")
    app.command("list")(list_cases)
    app.command("next")(next_case)
    app.command()(show)
    app.command()(answer)
    app.command()(release)
    return app


def list_cases(
    model: ModelOption = None,
    answered: Annotated[bool, typer.Option("--answered", help="Those with an answer, newest first.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="At most so many, 0 for all (default: 50; with --output json all)."),
    ] = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """List what waits for a person, oldest first: since when, how sure the model was, and who is at it."""
    desk = ReviewDesk(existing_home(home))
    waiting = desk.waiting(model)
    every = desk.queue.answered(model) if answered else waiting
    most = limit if limit is not None else 0 if output is Output.json else _SHOWN
    found = every[: most or None]
    now = desk.now()
    if output is Output.json:
        print_json([_document(case, now) for case in found])
        return
    if not found:
        typer.echo("No answer was given yet." if answered else "Nothing waits for a person.")
        return
    if answered:
        table = Table("request", "model", "answer", "by", "answered", "probability", box=None)
        for case in found:
            said, at = BAD if case.bad else GOOD, _when(case.answered_at)
            by, chance = case.answered_by or "", f"{case.probability:.4f}"
            table.add_row(case.id, f"{case.model}/{case.version}", said, by, at, chance)
    else:
        table = Table("request", "model", "waits", "decided", "probability", "taken by", box=None)
        for case in found:
            taken = case.held_by(now)
            by = f"{taken} until {_when(case.claimed_until)}" if taken else ""
            chance = f"{case.probability:.4f}"
            row = (case.id, f"{case.model}/{case.version}", _age(now - case.at), _when(case.at), chance, by)
            table.add_row(*row)
    print_table(table)
    if len(found) < len(every):
        typer.echo(f"{len(every) - len(found):,} more; --limit 0 lists all.")


def next_case(
    model: ModelOption = None,
    claim: Annotated[str, typer.Option(help="For how long it is yours.")] = "30m",
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Take the oldest case that nobody is at, and show it. Nobody else gets it meanwhile.

    Asked again, it gives the same until it is answered, given back, or the time is over.
    Exit code 0 with a case, 3 if nothing waits.
    """
    installation = existing_home(home)
    desk = ReviewDesk(installation)
    try:
        lasts = parse_duration(claim)
    except ValueError as error:
        raise click.UsageError(f"--claim: {error}") from None
    case = desk.next(current_identity(acting), model, lasts)
    if case is None:
        if output is Output.json:
            print_json(None)
        else:
            typer.echo("Nothing waits for a person, or others are at it.")
        raise typer.Exit(3)
    _show(installation, desk, case, output)


def show(request_id: CaseArgument, home: HomeOption = None, output: OutputOption = Output.text) -> None:
    """Show a case: what was scored, the reasons, and which way the model leaned; the log is verified up to there."""
    installation = existing_home(home)
    desk = ReviewDesk(installation)
    desk.queue.sync()
    _show(installation, desk, desk.queue.find(request_id), output)


def answer(
    request_id: CaseArgument,
    said: Annotated[
        str,
        typer.Option("--answer", help="fraud or legitimate, or the words and label values of the contract."),
    ],
    reason: Annotated[str, typer.Option(help="What you saw and why it is so; it is recorded.")],
    correct: Annotated[bool, typer.Option("--correct", help="Replace an answer that was given.")] = False,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Answer a case. It is recorded in the audit log, and fed back as the decision's label.

    Example: serinus review answer 5f1c… --answer legitimate --reason "the customer was called"
    """
    desk = ReviewDesk(existing_home(home))
    case = desk.answer(request_id, said, by=current_identity(acting), reason=reason, correct=correct)
    if output is Output.json:
        print_json(_document(case, desk.now()))
        return
    leant = leaning(desk.contract(case), case.probability)
    against = "" if leant == case.bad else ", against the model's leaning"
    typer.echo(
        f"{request_id} is {_word(desk, case, bool(case.bad))}{against}; recorded, and fed back as its label."
    )


def release(
    request_id: CaseArgument,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Give a case back without an answer."""
    desk = ReviewDesk(existing_home(home))
    case = desk.release(request_id, current_identity(acting))
    if output is Output.json:
        print_json(_document(case, desk.now()))
        return
    typer.echo(f"{request_id} waits again for anybody.")


def _show(home: Home, desk: ReviewDesk, case: Case, output: Output) -> None:
    event = _event(home, case)
    contract = desk.contract(case)
    leant = leaning(contract, case.probability)
    bad, good = words_of(contract)
    if output is Output.json:
        more = {"leaning": BAD if leant else GOOD, "answers": {BAD: bad, GOOD: good}}
        print_json({**_document(case, desk.now()), **more, "decision": event.data})
        return
    data, rule = event.data, contract.decision
    typer.echo(f"Request {case.id}, decided {event.time} by {data.model} v{data.version} ({data.predictor})")
    typer.echo(
        f"  probability {data.probability:.4f}: referred from {rule.adverse_at:g}, declined from {rule.decline_at:g}; "
        f"with nobody to ask: {(bad if leant else good)[0]}"
    )
    table = Table("feature", "as it was scored", box=None)
    for feature, value in zip(contract.features, data.features, strict=True):
        table.add_row(feature.name, "missing" if value is None else f"{value:g}")
    print_table(table)
    for given in data.reasons:
        typer.echo(f"  {given.code} {given.text} ({given.feature}, {given.contribution:+g})")
    if case.answered_at is not None:
        said = _word(desk, case, bool(case.bad))
        typer.echo(f"Answered {_when(case.answered_at)} by {case.answered_by}: {said}.")
        return
    if taken := case.held_by(desk.now()):
        typer.echo(f"Taken by {taken} until {_when(case.claimed_until)}.")
    typer.echo(f"Answer: serinus review answer {case.id} --answer {bad[0]}|{good[0]} --reason TEXT")


def _event(home: Home, case: Case) -> DecisionEvent:
    """The decision, from its log, verified up to there. Raises as ``find_decisions``; ``SRN-PRIVACY-004``."""
    log = log_of(Path(case.log))
    places = [log] if log.exists() or segments(log) else [home.decisions]  # logs may have been moved
    gaps = read_gaps(home.root)
    found = find_decisions(
        places, case.id, model=case.model, keys=find_keys(home), gaps=gaps, vouching=vouching_of(home)
    )
    # A copy in the shadow, or another version, may have logged the same request.
    own = [one for one in found if one.event.data.digest == case.digest]
    chosen = next((one for one in own if one.event.id == case.id), (own or found)[0])
    warn_of_gaps(home, [chosen], gaps)
    event = chosen.event
    if isinstance(event, WithheldEvent):
        raise withheld(event)
    return event


def _word(desk: ReviewDesk, case: Case, bad: bool) -> str:
    return words_of(desk.contract(case))[0 if bad else 1][0]


def _document(case: Case, now: float) -> dict[str, Any]:
    waits = None if case.answered_at is not None else round(now - case.at, 3)
    return {**msgspec.to_builtins(case), "waits_seconds": waits, "taken_by": case.held_by(now)}


def _when(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")[:19] + "Z"


def _age(seconds: float) -> str:
    for size, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "m")):
        if seconds >= size:
            return f"{seconds / size:.1f}{unit}"
    return f"{max(seconds, 0.0):.0f}s"
