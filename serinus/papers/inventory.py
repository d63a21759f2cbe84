"""Every model of an installation on one page: whose it is, what for, where it stands, and what is due."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

import msgspec

from serinus.access import Access, AccessPolicy, requirement
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.papers import document
from serinus.papers.document import Column, Document, Section, Table, Text
from serinus.papers.evidence import of_bundle
from serinus.papers.validation.operation import found as findings_of
from serinus.registry import Approval, Registry, Version
from serinus.registry.review_book import ReviewBook
from serinus.registry.reviews import Due, load_policy, moment

NOT_STATED = "not stated"


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's approval, and until when it holds: ISO 8601, empty for ever."""

    by: str
    role: str
    until: str
    expired: bool


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One model: the version that answers (champion, else canary, else the latest that is not retired).

    Attributes:
        champion: its number; None where none is. ``champion_since``: ISO 8601, empty where it is not known.
        version, stage: of the version that this line is about.
        validated: when that version was built and validated; ``gate`` the gate's verdict.
        reviewed: the last review: time, outcome and by whom; empty before the first.
        critical, medium, low: findings of the validation report; None where the bundle cannot be read.
        open: triggers of a review that nobody has answered.
        review_due: ISO 8601, empty where no review is asked for (a version that answers nobody).
        due: what somebody has to do, in sentences, the most urgent first.
        problem: why a part of this could not be known.
    """

    model: str
    owner: str
    purpose: str
    tier: int | None
    versions: int
    champion: int | None
    champion_since: str
    version: int
    stage: str
    digest: str
    validated: str
    gate: str
    reviewed: str
    critical: int | None
    medium: int | None
    low: int | None
    open: tuple[str, ...]
    review_due: str
    overdue: bool
    approvals: tuple[Word, ...]
    due: tuple[str, ...]
    problem: str = ""


def inventory(home: Home, registry: Registry, *, soon: timedelta = timedelta(days=30)) -> list[Entry]:
    """Every registered model, what is overdue first, then by the date of the next review.

    Args:
        soon: an approval or review that ends within it is due.

    Raises:
        SerinusError: those of ``Registry``; ``SRN-REVIEW-001`` or the access policy's, where one cannot be read. A
            bundle that cannot be read is a line's ``problem``, not an error.
    """
    book = ReviewBook(registry, load_policy(home))
    due = {(d.model, d.version): d for d in book.due()}
    policy = Access(home).policy()  # read once: a line is not to be judged by another one than the next
    now = moment(registry.now())
    entries = [
        _entry(registry, book, policy, versions, due, now, soon)
        for versions in (list(some) for _, some in groupby(registry.every_version(), lambda v: v.model))
    ]
    return sorted(entries, key=lambda e: (not e.overdue, e.review_due or "9999", e.model))


def speaks_for(versions: Sequence[Version]) -> Version:
    """The version that a model's line is about."""
    for stage in ("champion", "canary"):
        for version in reversed(versions):
            if version.stage == stage:
                return version
    alive = [v for v in versions if v.stage not in ("retired", "rejected", "rolled_back")]
    return (alive or list(versions))[-1]


def _entry(
    registry: Registry,
    book: ReviewBook,
    policy: AccessPolicy,
    versions: Sequence[Version],
    due: dict[tuple[str, int], Due],
    now: datetime,
    soon: timedelta,
) -> Entry:
    version = speaks_for(versions)
    known = due.get((version.model, version.version))
    champion = next((v for v in reversed(versions) if v.stage == "champion"), None)
    since = ""
    if champion is not None:
        turns = [t for t in registry.history(champion.model, champion.version) if t.stage == "champion"]
        since = turns[-1].time if turns else ""
    reviews = book.reviews(version.model, version.version)
    last = max(reviews, key=lambda r: r.time, default=None)
    expire = requirement(policy, version.tier).expire
    words = tuple(
        _word(approval, expire, now) for approval in registry.approvals(version.model, version.version)
    )
    counts, gate, problem = _findings(registry, version)
    return Entry(
        model=version.model,
        owner=version.owner or NOT_STATED,
        purpose=version.purpose or NOT_STATED,
        tier=version.tier,
        versions=len(versions),
        champion=champion.version if champion else None,
        champion_since=since,
        version=version.version,
        stage=version.stage,
        digest=version.digest,
        validated=version.created,
        gate=gate,
        reviewed=f"{last.time[:10]} {last.outcome}, {last.by}" if last else "",
        critical=counts.get("critical") if counts is not None else None,
        medium=counts.get("medium") if counts is not None else None,
        low=counts.get("low") if counts is not None else None,
        open=tuple(f"{t.kind}: {t.reason}" for t in known.triggers) if known else (),
        review_due=known.due if known else "",
        overdue=known.overdue if known else False,
        approvals=words,
        due=tuple(_what_is_due(known, words, counts, now, soon)),
        problem=problem,
    )


def _word(approval: Approval, expire: float | None, now: datetime) -> Word:
    until = moment(approval.time) + timedelta(seconds=expire) if expire else None
    return Word(
        by=approval.by,
        role=approval.role,
        until=until.astimezone(UTC).isoformat(timespec="seconds") if until else "",
        expired=until is not None and until <= now,
    )


def _findings(registry: Registry, version: Version) -> tuple[dict[str, int] | None, str, str]:
    try:
        evidence = of_bundle(registry.bundle(version))
    except SerinusError as error:
        return None, "not known", f"{error.code}: {error.what}"
    severities = [severity for severity, *_ in findings_of(evidence)]
    counts = {name: severities.count(name) for name in ("critical", "medium", "low")}
    return counts, str(evidence.validation.get("verdict", "not known")), ""


def _what_is_due(
    known: Due | None, words: Sequence[Word], counts: dict[str, int] | None, now: datetime, soon: timedelta
) -> list[str]:
    found: list[str] = []
    if known is not None and (known.overdue or moment(known.due) <= now + soon):
        found.append(f"review {'was due' if known.overdue else 'by'} {known.due[:10]}: {known.why}")
    for word in words:
        if word.expired:
            found.append(f"approval of {word.by} as {word.role} ended {word.until[:10]}")
        elif word.until and moment(word.until) <= now + soon:
            found.append(f"approval of {word.by} as {word.role} ends {word.until[:10]}")
    if counts and counts["critical"]:
        found.append(f"{counts['critical']} critical findings")
    if counts is None:
        found.append("its bundle cannot be read")
    return found


HEADINGS = (
    "Model", "Owner", "Tier", "Champion", "This version", "Validated", "Last review", "Findings", "Review due",
    "What is due",
)  # fmt: skip


def cells(entry: Entry) -> tuple[str, ...]:
    """One line of the table."""
    champion = "none" if entry.champion is None else f"v{entry.champion}"
    if entry.champion_since:
        champion += f" since {entry.champion_since[:10]}"
    findings = (
        "not known"
        if entry.critical is None
        else f"{entry.critical} critical, {entry.medium} medium, {entry.low} low"
    )
    return (
        entry.model,
        entry.owner,
        NOT_STATED if entry.tier is None else str(entry.tier),
        champion,
        f"v{entry.version} {entry.stage}",
        f"{entry.validated[:10]}, gate {entry.gate}",
        entry.reviewed or "none",
        findings,
        (entry.review_due[:10] or "none asked for") + (", overdue" if entry.overdue else ""),
        # A trigger that sets the date of the review is told with it.
        "; ".join((*entry.due, *(text for text in entry.open if not any(text in due for due in entry.due))))
        or "nothing",
    )


def to_csv(entries: Sequence[Entry]) -> str:
    """One line a model, every field of ``Entry`` a column; lists are joined by semicolons. A cell that a spreadsheet
    would take for a formula gets an apostrophe in front."""
    out = io.StringIO()
    names = Entry.__struct_fields__
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for entry in entries:
        writer.writerow([_safe(_flat(getattr(entry, name))) for name in names])
    return out.getvalue()


def _flat(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return "; ".join(
            f"{item.by} as {item.role}{' until ' + item.until if item.until else ''}"
            if isinstance(item, Word)
            else str(item)
            for item in value
        )
    return str(value).lower() if isinstance(value, bool) else str(value)


def _safe(text: str) -> str:
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def to_document(entries: Sequence[Entry], at: str) -> Document:
    """The inventory as a paper.

    Args:
        at: when it was taken, ISO 8601: what is due depends on it.
    """
    columns = tuple(Column(title, "name" if title == "Model" else "text") for title in HEADINGS)
    overdue = sum(entry.overdue for entry in entries)
    counted = f"{len(entries):,} model{'' if len(entries) == 1 else 's'}"
    sections = [
        Section(
            title="",
            why=f"{counted}, {overdue} of them with a review overdue. Taken {document.moment(at)}.",
            blocks=(Table("", columns, tuple(cells(entry) for entry in entries)),)
            if entries
            else (Text("No model is registered here."),),
        )
    ]
    rows = tuple((e.model, e.purpose, e.digest) for e in entries)
    if rows:
        told = (Column("Model", "name"), Column("Purpose"), Column("Digest of the version", "code"))
        sections.append(Section(title="Purposes", blocks=(Table("", told, rows),)))
    problems = tuple(f"{e.model}: {e.problem}" for e in entries if e.problem)
    if problems:
        sections.append(Section(title="What could not be known", missing=problems))
    return Document(
        kind="inventory",
        title="Model inventory",
        subject=counted,
        subtitle="Every registered model, from the registry and the bundles.",
        date=at,
        sections=tuple(sections),
    )
