"""``serinus notice``: the letter that a declined applicant is owed, from the logged decision."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import time
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from serinus.access import Access
from serinus.audit import Action, AuditLog
from serinus.chain import Place, read_gaps, read_on
from serinus.cli.explain import bundle_of
from serinus.cli.options import AsOption, HomeOption, Output, OutputOption, counted, print_json
from serinus.cli.standing import vouching_of, warn_of_gaps
from serinus.errors import SerinusError
from serinus.events import DecisionEvent, WithheldEvent, find_decisions, withheld
from serinus.home import Home, atomic_write, existing_home
from serinus.identity import current_identity
from serinus.notice import Notice, letter, load_notice_policy, principal_reasons, used_scores
from serinus.notice.letter import rules_of
from serinus.notice.principal import check_adverse
from serinus.papers.make import print_document
from serinus.privacy import find_keys
from serinus.registry import Registry


class Form(StrEnum):
    """As what."""

    text = "text"
    html = "html"
    pdf = "pdf"


def notice(
    request_id: Annotated[
        str, typer.Argument(help="The id that came with the answer; of a batch, id.row: the row's own.")
    ],
    form: Annotated[Form, typer.Option("--format", help="What the letter is printed as.")] = Form.text,
    applied: Annotated[
        str | None,
        typer.Option(
            metavar="DAY", help="When the application was received (default: the day of the decision)."
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The applicant's name and address, line by line; - for stdin. Without it the policy's placeholder "
            "stands there, for a mail merge. Neither logged nor kept.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write (default: stdout; needed for pdf).")] = None,
    jurisdiction: Annotated[
        str | None,
        typer.Option(help="Of the notice policy (default: that of the contract's fairness policy)."),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Of the letter, as in the policy (default: its first).")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="The notice policy (default: $SERINUS_NOTICES, else <home>/notices.yaml)."),
    ] = None,
    draft: Annotated[
        bool, typer.Option("--draft", help="Show it, marked as a draft; nothing is recorded.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="Only this model's decision on the request.")] = None,
    predictor: Annotated[str | None, typer.Option(help="Only this predictor's (a shadow's is none).")] = None,
    log: Annotated[Path | None, typer.Option(help="One decision log, or a directory of logs.")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="The bundle that decided, if it is not where it was.")
    ] = None,
    acting: AsOption = None,
    home: HomeOption = None,
    output: OutputOption = Output.text,
) -> None:
    """Write the notice of adverse action on a declined application, and enter it in the audit log.

    The decision is found in the verified log and made again from the bundle that made it: its reasons are told only if
    they come out as logged. Only a decline has a notice; an approved request is refused. Creditor, texts, number of
    reasons and time allowed are the policy's, by jurisdiction.

    Example: serinus notice 7c1e… --applied 2026-11-02 --to applicant.txt --format pdf --out notice.pdf --as kim
    """
    installation = existing_home(home)
    if form is Form.pdf and out is None:
        raise SerinusError(
            "SRN-NOTICE-004",
            "a PDF cannot be shown on a terminal",
            where="--format pdf",
            hint="Name a file with --out.",
        )
    words = load_notice_policy(installation, policy)
    path, event = _decision(installation, log or installation.decisions, request_id, model, predictor)
    check_adverse(event)
    opened, _ = bundle_of(installation, event.data, bundle)
    fairness = opened.contract.fairness
    where = jurisdiction or (fairness.jurisdiction if fairness else "")
    rules = rules_of(words, where)
    reasons, source = principal_reasons(event, opened, rules)
    made = letter(
        words,
        where,
        event,
        reasons,
        today=datetime.fromtimestamp(time.time(), UTC).date(),
        applied=_day(applied) if applied else date.fromisoformat(event.time[:10]),
        scores=used_scores(event, opened, rules, lambda: _features(installation)),
        applicant=_lines(to),
        language=language,
        draft=draft,
    )
    data = print_document(made.document, form.value)
    before = _issued(installation, event, path)
    if not draft:
        _record(installation, made, event, source, current_identity(acting), path)
    if out is not None:
        _write(data, out, installation, event, draft)
    elif output is Output.text:
        sys.stdout.write(data.decode())
    _tell(made, event, out, data, draft, before, output)


def _decision(
    home: Home, place: Path, request_id: str, model: str | None, predictor: str | None
) -> tuple[Path, DecisionEvent]:
    gaps = read_gaps(home.root)
    found = [
        one
        for one in find_decisions(
            [place], request_id, model=model, keys=find_keys(home), gaps=gaps, vouching=vouching_of(home)
        )
        if predictor is None or one.event.data.predictor == predictor
    ]
    if len(found) == 1:
        event = found[0].event
        if isinstance(event, WithheldEvent):
            raise withheld(event)
        warn_of_gaps(home, found, gaps)
        return found[0].log, event
    events = [one.event for one in found[:5]]
    told = ", ".join(f"{event.id} ({event.data.model}, {event.data.predictor})" for event in events)
    raise SerinusError(
        "SRN-NOTICE-004",
        f"{request_id} names {len(found)} decisions: {told or 'none'}",
        where=str(place),
        hint="A notice is of one decision: name the row (id.row), or choose with --model and --predictor.",
    )


def _features(home: Home) -> dict[str, tuple[str, ...]]:
    """The features of every model, of all its versions; of one whose bundle cannot be read, none."""
    registry, found = Registry(home), dict[str, tuple[str, ...]]()
    for version in registry.every_version():
        with contextlib.suppress(SerinusError):
            names = registry.bundle(version).contract.feature_names
            found[version.model] = (*found.get(version.model, ()), *names)
    return found


def _entry(home: Home, path: Path, event: DecisionEvent) -> dict[str, Any]:
    """The digest of the log's entry as it stands there, sealed or not: it names the decision and reveals nothing of it.
    And where the chain is broken before it, the entries behind the gaps: what the notice rests on is on record."""
    start = b'{"id":' + msgspec.json.encode(event.id) + b","
    moment = msgspec.json.encode(event.time)
    known = Place(read_gaps(home.root).of(path))
    for body in read_on(path, known):
        if body.startswith(start) and moment in body:
            gaps = [gap.before for gap in known.gaps]
            return {"entry_sha256": hashlib.sha256(body).hexdigest()} | (
                {"behind_gaps": gaps} if gaps else {}
            )
    return {"entry_sha256": ""}


def _record(home: Home, made: Notice, event: DecisionEvent, source: str, by: str, path: Path) -> None:
    """Who sent what, in the audit log, which keeps nothing of the applicant when the person's key is destroyed: the
    letter's digest is that of the blank one, and the reasons are in the decision, not here."""
    subject = f"{event.data.model}/{event.data.version}"
    Access(home).require(by, "notice.issue", subject)
    AuditLog(home.audit).append(
        actor=by,
        action="adverse-action-notice",
        subject=subject,
        reason=made.basis,
        details={
            "request": event.id,
            "log": path.name,
            **_entry(home, path, event),
            "bundle": event.data.digest,
            "reasons": len(made.reasons),
            "reasons_from": source,
            "scores": len(made.scores),
            "jurisdiction": made.jurisdiction,
            "language": made.language,
            "applied": made.applied.isoformat(),
            "due": made.due.isoformat(),
            "late": made.late,
            "letter_sha256": hashlib.sha256(msgspec.json.encode(made.blank)).hexdigest(),
        },
    )


def _issued(home: Home, event: DecisionEvent, path: Path) -> list[Action]:
    """The notices on this decision that the audit log knows of."""
    subject = f"{event.data.model}/{event.data.version}"
    return [
        action
        for action in AuditLog(home.audit).entries()
        if action.action == "adverse-action-notice"
        and action.subject == subject
        and (action.details.get("request"), action.details.get("log")) == (event.id, path.name)
    ]


def _write(data: bytes, out: Path, home: Home, event: DecisionEvent, draft: bool) -> None:
    try:
        atomic_write(out, data)
    except SerinusError:
        if not draft:  # the record must not say that a letter exists
            AuditLog(home.audit).append(
                actor="serinus",
                action="adverse-action-notice-unwritten",
                subject=f"{event.data.model}/{event.data.version}",
                reason="the file could not be written",
                details={"request": event.id},
            )
        raise


def _tell(
    made: Notice,
    event: DecisionEvent,
    out: Path | None,
    data: bytes,
    draft: bool,
    before: list[Action],
    output: Output,
) -> None:
    if output is Output.json:
        print_json(
            {
                "request": event.id,
                "path": None if out is None else str(out),
                "issued": not draft,
                "issued_before": [{"by": one.actor, "time": one.time} for one in before],
                "applied": made.applied.isoformat(),
                "due": made.due.isoformat(),
                "late": made.late,
                "jurisdiction": made.jurisdiction,
                "language": made.language,
                "reasons": made.reasons,
                "scores": [
                    {
                        "feature": item.score.feature,
                        "value": item.value,
                        "created": item.created.isoformat(),
                        "factors": item.factors,
                    }
                    for item in made.scores
                ],
            }
            | ({"letter": data.decode()} if out is None else {})
        )
    elif out is not None:
        typer.echo(f"{out}: {counted(len(made.reasons), 'reason')}, to be sent by {made.due}")
    if before:
        last = before[-1]
        times = f"{len(before)} times, last" if len(before) > 1 else "before,"
        typer.echo(
            f"serinus: a notice on this decision was issued {times} by {last.actor} on {last.time[:10]}",
            err=True,
        )
    if made.late:
        typer.echo(f"serinus: this notice was due on {made.due}; it is late", err=True)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise SerinusError(
            "SRN-NOTICE-008", f"{text!r} is no day", where="--applied", hint="Write it as 2026-11-02."
        ) from error


def _lines(to: Path | None) -> list[str]:
    if to is None:
        return []
    try:
        text = sys.stdin.read(10_000) if str(to) == "-" else to.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SerinusError(
            "SRN-NOTICE-008",
            f"the applicant's lines cannot be read ({getattr(error, 'strerror', None) or 'not text'})",
            where=str(to),
            hint="Give a text file in UTF-8, the name on the first line.",
        ) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise SerinusError(
            "SRN-NOTICE-008",
            "nobody is named",
            where=str(to),
            hint="Give name and address, or leave --to out.",
        )
    return lines
