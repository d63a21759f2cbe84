"""``serinus explain``: a decision of years ago, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer
from rich.table import Table

from serinus.bundle import Bundle, Keyring, directory_name, open_bundle
from serinus.chain import read_gaps
from serinus.chain.standing import Standing
from serinus.cli.options import HomeOption, Output, OutputOption, print_json, print_table
from serinus.cli.standing import proven, standing_lines, standings_of, vouching_of
from serinus.errors import SerinusError
from serinus.events import Decision, DecisionEvent, WithheldEvent, find_decisions
from serinus.home import Home, existing_home
from serinus.privacy import find_keys
from serinus.recompute import Compared, Recomputed, recompute
from serinus.registry import Registry

_SAID = {
    "identical": "identical",
    "within_tolerance": "equal within the tolerance",
    "different": "DIFFERENT",
    "not_logged": "was not logged",
}


def explain(
    request_id: Annotated[
        str, typer.Argument(help="The id that came with the answer; of a batch, all its rows.")
    ],
    log: Annotated[
        Path | None, typer.Option(help="One log, or a directory of logs (default: all of the home).")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="The bundle that decided, if it is no longer where the registry had it."),
    ] = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Explain a decision: find it in the verified log, load the bundle that made it, score the
    logged features again, and say whether score, decision and reasons come out as logged.

    Exit code 0 if they do, 1 if anything differs, the person was erased, or the decision, its log or its bundle is
    not what it should be (the reason is printed). Behind a gap that the archive told of the decision is explained, with
    what the chain still proves, and the exit code is 1. In front of a break too; the exit code is 1 unless a signed
    checkpoint between the two vouches for it. The log is verified up to the next checkpoint behind the decision, or to
    its end.
    """
    installation = existing_home(home, needed=log is None)
    place = log or installation.decisions
    gaps = read_gaps(installation.root)
    found = find_decisions(
        [place],
        request_id,
        keys=find_keys(installation),
        gaps=gaps,
        vouching=vouching_of(installation),
        unproven=True,
    )
    stands = standings_of(installation, found, gaps)
    placed = [(one.event, _Place(one.log, stand)) for one, stand in zip(found, stands, strict=True)]
    closed = [(event, place) for event, place in placed if isinstance(event, WithheldEvent)]
    results = [
        (event, place, version, recompute(event.data, opened))
        for event, place in placed
        if not isinstance(event, WithheldEvent)
        for opened, version in [bundle_of(installation, event.data, bundle)]
    ]
    if output is Output.json:
        print_json(
            [
                *(_document(event, place, version, result) for event, place, version, result in results),
                *(
                    {"request_id": e.id, **place.document(), "event": e, "reproduced": None}
                    for e, place in closed
                ),
            ]
        )
    else:
        for event, place, version, result in results:
            _print(event, place, version, result)
        for event, place in closed:
            _print_closed(event, place)
    broken = not all(proven(place.standing) for _, place in placed)
    if closed or broken or not all(result.reproduced for *_, result in results):
        raise typer.Exit(1)


class _Place(NamedTuple):
    """The log of a decision, and what its chain proves if it is not sound up to there."""

    log: Path
    standing: Standing | None

    def document(self) -> dict[str, Any]:
        return {"log": str(self.log), "broken": self.standing}

    def show(self) -> None:
        first, *more = standing_lines(self.standing)
        typer.echo(f"  log     {self.log}, {first}")
        for line in more:
            typer.echo(f"          {line}")


def bundle_of(home: Home, decision: Decision, given: Path | None) -> tuple[Bundle, dict[str, Any]]:
    """The bundle with the decision's digest, and what the registry knows of it."""
    registry = Registry(home)
    version = registry.by_digest(decision.digest)
    known: dict[str, Any] = {}
    if version is not None:
        approvals = registry.approvals(version.model, version.version)
        known = {"version": version, "approvals": approvals}
    if given is None and version is not None:
        return registry.bundle(version), known
    path = given or home.bundles / directory_name(decision.model, decision.version, decision.digest)
    if given is None and not path.is_dir():
        raise SerinusError(
            "SRN-AUDIT-006",
            f"the bundle that decided ({decision.digest}, {decision.model} v{decision.version}) is not here",
            where=str(home.root),
            hint="Fetch it from where bundles are kept and name its directory with --bundle.",
        )
    return open_bundle(path, trusted=Keyring.load(home.keys)), known


def _document(
    event: DecisionEvent, place: _Place, known: dict[str, Any], result: Recomputed
) -> dict[str, Any]:
    return {
        "request_id": event.id,
        **place.document(),
        "event": event,
        **known,
        **msgspec.structs.asdict(result),
    }


def _print(event: DecisionEvent, place: _Place, known: dict[str, Any], result: Recomputed) -> None:
    data = event.data
    typer.echo(f"Request {event.id}, decided {event.time} by {data.model} v{data.version} ({data.predictor})")
    place.show()
    typer.echo(f"  bundle  {data.digest}, hashes and signature sound")
    if version := known.get("version"):
        typer.echo(f"  built by {version.built_by} in run {version.run}, owner {version.owner}")
    for approval in known.get("approvals", ()):
        typer.echo(f"  approved by {approval.by} ({approval.role}) {approval.time}: {approval.reason}")
    typer.echo("")
    table = Table("", "logged", "now", "", box=None)
    for item in result.compared:
        table.add_row(item.what, _cell(item.logged), _cell(item.now), _said(item))
    print_table(table)
    typer.echo("")
    table = Table("feature", "as it was scored", box=None)
    for feature in result.features:
        table.add_row(feature.name, "missing" if feature.value is None else _cell(feature.value))
    print_table(table)
    for reason in result.reasons:
        typer.echo(f"  {reason.code} {reason.text} ({reason.feature}, {reason.contribution:+g})")
    said = "is reproduced" if result.reproduced else "is NOT reproduced: see the rows marked DIFFERENT"
    typer.echo(f"\nThe decision {said}.")
    if place.standing is not None:
        where = "before" if place.standing.gaps else "behind"
        typer.echo(f"Its log is broken {where} it: see above what the chain proves.")


def _print_closed(event: WithheldEvent, place: _Place) -> None:
    data = event.data
    typer.echo(f"Request {event.id}, decided {event.time} by {data.model} v{data.version} ({data.predictor})")
    place.show()
    typer.echo(f"  bundle  {data.digest}")
    typer.echo(f"\nThe decision cannot be explained: {data.why}.")


def _said(item: Compared) -> str:
    return _SAID[item.outcome]


def _cell(value: float | str | None) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)
