"""When a version is to be reviewed: the policy, read from a file, and what it makes of what happened.

Pure but for the reading of the file: versions, reviews, triggers and the time in; what is due out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from serinus.documents import UnreadableError, parse_yaml
from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry.policy import own_part
from serinus.registry.records import Version

Kind = Literal["drift", "performance", "fairness", "incident", "policy", "date"]
KINDS: tuple[str, ...] = get_args(Kind)
Outcome = Literal["fit", "conditions", "unfit"]
FILE = "reviews.yaml"
_Duration = Annotated[str, Meta(pattern=r"^\s*\d+(\.\d+)?\s*(s|m|h|d|w)\s*$")]


class Cadence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The longest time between two reviews, and why it is that."""

    every: _Duration
    because: Annotated[str, Meta(min_length=1)]


class Within(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How soon after its trigger a review is to be done."""

    within: _Duration


class ReviewPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``reviews.yaml``; the shipped one says what each key means."""

    apiVersion: Literal["serinus.io/v1"]  # noqa: N815  the Kubernetes spelling
    kind: Literal["ReviewPolicy"]
    stages: tuple[str, ...]
    cadence: dict[Literal["1", "2", "3", "4", "unknown"], Cadence]
    triggers: dict[Kind, Within]
    alerts: dict[str, Kind] = {}

    def of_tier(self, tier: int | None) -> Cadence:
        """The cadence of a tier; that of ``unknown`` where none is stated."""
        return self.cadence["unknown" if tier is None else str(tier)]  # pyright: ignore[reportArgumentType]


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A person looked at a version: fit for its use, fit on conditions, or unfit; times in ISO 8601."""

    time: str
    by: str
    outcome: Outcome
    reason: str
    next: str


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """Something that asks for a review until ``due``; ``closed`` says that a review has answered it.
    ``cause`` names what happened (an alert's key), so that it asks once."""

    kind: Kind
    cause: str
    time: str
    by: str
    reason: str
    due: str
    closed: bool = False


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A version in use: until when it is to be reviewed, and why then."""

    model: str
    version: int
    stage: str
    tier: int | None
    owner: str
    due: str
    overdue: bool
    why: str
    triggers: tuple[Trigger, ...]
    last: Review | None


def load_policy(home: Home) -> ReviewPolicy:
    """The policy: the file that ``$SERINUS_REVIEWS`` names, else ``<home>/reviews.yaml``, else the shipped one.

    Raises:
        SerinusError: ``SRN-REVIEW-001`` it cannot be read, or says what no policy says.
    """
    named = os.environ.get("SERINUS_REVIEWS")
    path = Path(named) if named else home.root / FILE
    # A link to a policy that is gone is one that cannot be read, not the absence of one.
    if not named and not os.path.lexists(path):
        return parse_policy(
            files("serinus.registry").joinpath(FILE).read_text(encoding="utf-8"), where="the shipped policy"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(str(path), getattr(error, "strerror", None) or str(error)) from error
    return parse_policy(text, where=str(path))


def parse_policy(text: str, *, where: str) -> ReviewPolicy:
    """A policy from its YAML. Raises as ``load_policy``."""
    try:
        policy = msgspec.convert(parse_yaml(text, where=where), ReviewPolicy)
    except UnreadableError as error:
        raise _bad(error.where, f"it {error.what}") from error
    except msgspec.ValidationError as error:
        raise _bad(where, str(error)) from error
    missing = [tier for tier in ("1", "2", "3", "4", "unknown") if tier not in policy.cadence]
    missing += [kind for kind in KINDS if kind not in policy.triggers]
    if missing:
        raise _bad(where, f"nothing is said of {', '.join(missing)}")
    never = [tier for tier, cadence in policy.cadence.items() if parse_duration(cadence.every) <= 0]
    if never:
        raise _bad(where, f"the cadence of {', '.join(never)} is no time at all")
    return policy


def due_of(policy: ReviewPolicy, version: Version, reviews: Iterable[Review], triggers: Iterable[Trigger],
           now: datetime) -> Due | None:  # fmt: skip
    """Until when a version is to be reviewed; None for one that answers nobody.

    The earliest of: the date that the last review set (before the first review: the cadence,
    counted from when it was built and validated), and what each open trigger allows. A version
    found unfit is due since then: it is to be replaced or retired.
    """
    if version.stage not in policy.stages:
        return None
    last = max(reviews, key=lambda review: review.time, default=None)
    waiting = tuple(trigger for trigger in triggers if not trigger.closed)
    dates: list[tuple[datetime, str]] = []
    if last is None:
        cadence = policy.of_tier(version.tier)
        first = moment(version.created) + timedelta(seconds=parse_duration(cadence.every))
        dates.append((first, f"first review, {cadence.every} after it was built"))
    elif last.outcome == "unfit":
        dates.append((moment(last.time), f"found unfit by {last.by}: replace or retire it"))
    else:
        dates.append((moment(last.next), f"next date set by {last.by}"))
    dates += [(moment(t.due), f"{t.kind}: {t.reason}") for t in waiting]
    when, why = min(dates, key=lambda date: date[0])
    return Due(
        model=version.model,
        version=version.version,
        stage=version.stage,
        tier=version.tier,
        owner=version.owner,
        due=when.isoformat(timespec="seconds"),
        overdue=when <= now,
        why=why,
        triggers=waiting,
        last=last,
    )


def check_review(
    policy: ReviewPolicy,
    version: Version,
    *,
    by: str,
    reason: str,
    next_date: datetime | None,
    now: datetime,
    on_behalf_of: str = "",
) -> datetime:
    """Whether a review may stand, and the date of the next.

    Raises:
        SerinusError: ``SRN-REVIEW-002`` of one's own work, or in a role that its builder lent; ``-003`` no
            reason; ``-004`` a next date that has passed, or later than the tier's cadence allows.
    """
    subject = f"{version.model}/{version.version}"
    part = own_part({version.built_by: "built it"}, by=by, on_behalf_of=on_behalf_of)
    if part is not None:
        raise SerinusError(
            "SRN-REVIEW-002",
            f"{by} cannot review {subject}{part}",
            where="review policy",
            hint="Ask a second person to review it (--as NAME).",
        )
    if not reason.strip():
        raise SerinusError(
            "SRN-REVIEW-003",
            f"the review of {subject} says nothing",
            where="review policy",
            hint="Say what was looked at and what was found: --reason TEXT.",
        )
    cadence = policy.of_tier(version.tier)
    latest = now + timedelta(seconds=parse_duration(cadence.every))
    if next_date is None:
        return latest
    if not now < next_date <= latest:
        tier = "a version of unknown tier" if version.tier is None else f"tier {version.tier}"
        raise SerinusError(
            "SRN-REVIEW-004",
            f"the next review of {subject} cannot be on {next_date.date()}",
            where="review policy",
            hint=f"{tier[0].upper()}{tier[1:]} is reviewed at least every {cadence.every} ({cadence.because}). "
            f"Give a day from tomorrow to {latest.date()}, or have the cadence changed in {FILE}.",
        )
    return next_date


def trigger_due(policy: ReviewPolicy, kind: Kind, now: datetime) -> datetime:
    """Until when a trigger of that kind, opened now, is to be answered."""
    return now + timedelta(seconds=parse_duration(policy.triggers[kind].within))


def moment(text: str) -> datetime:
    """A time or a day in ISO 8601, in UTC: a day begins in UTC, and so is meant what names no zone. Raises ValueError.

    Whatever zone it was given in it is kept in one, so that times sort as text.
    """
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def by_urgency(found: Iterable[Due]) -> list[Due]:
    """What is due first stands first."""
    return sorted(found, key=lambda due: (due.due, due.model, due.version))


def grouped(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], list[Mapping[str, Any]]]:
    """Rows by their version."""
    found: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["model"], row["version"]), []).append(row)
    return found


def _bad(where: str, what: str) -> SerinusError:
    return SerinusError(
        "SRN-REVIEW-001",
        f"not a review policy ({what})",
        where=where,
        hint="docs/registry.md shows the file; serinus/registry/reviews.yaml is the shipped one.",
    )
