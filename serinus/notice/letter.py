"""The letter: pure, from a decision, its reasons and the policy's words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec

from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.events import DecisionEvent
from serinus.model import ReasonCode
from serinus.notice.policy import Agency, Jurisdiction, Letter, NoticePolicy
from serinus.notice.scores import Disclosure
from serinus.numerals import exact
from serinus.papers.document import Block, Bullets, Document, Section, Text

LINES, LONG = 8, 100


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A notice, ready to be printed.

    Attributes:
        document: the letter; ``blank``: the same with nobody named and no score told, which is what the record commits
            to, so that it says nothing of a person and holds when the person's data are erased.
        due: until when it must be sent; ``late``: whether that is over.
    """

    document: Document
    blank: Document
    jurisdiction: str
    language: str
    basis: str
    reasons: tuple[ReasonCode, ...]
    scores: tuple[Disclosure, ...]
    applied: date
    due: date
    late: bool


def letter(
    policy: NoticePolicy,
    jurisdiction: str,
    event: DecisionEvent,
    reasons: Sequence[ReasonCode],
    *,
    today: date,
    applied: date,
    scores: Sequence[Disclosure] = (),
    applicant: Sequence[str] = (),
    language: str | None = None,
    draft: bool = False,
) -> Notice:
    """The notice of a declined application.

    Args:
        jurisdiction: one of the policy's; language: one of its letters, by default the first.
        reasons: as ``principal_reasons`` gives them.
        scores: as ``used_scores`` gives them.
        today: the letter's date; applied: when the application was received, from which the time runs.
        applicant: name and address, line by line; the policy's placeholder where empty.
        draft: marked as one that was not issued.

    Raises:
        SerinusError: ``SRN-NOTICE-007`` the policy has no such jurisdiction or language; ``-008`` the applicant's
            lines are not a name and an address, or the application is younger than the letter; ``-009`` the letter
            has no sentence for a score's factor.
    """
    rules = rules_of(policy, jurisdiction)
    chosen = language or next(iter(rules.letters))
    if chosen not in rules.letters:
        raise SerinusError(
            "SRN-NOTICE-007",
            f"the policy has no letter in {chosen} for {jurisdiction}",
            where="--language",
            hint=f"It has: {', '.join(rules.letters)}. Nothing was written.",
        )
    if applied > today:
        raise SerinusError(
            "SRN-NOTICE-008",
            f"the application of {applied} is younger than the letter of {today}",
            where="--applied",
            hint="Give the day on which the application was received: --applied 2026-11-02.",
        )
    check_lines(applicant)
    texts = rules.letters[chosen]
    due = applied + timedelta(seconds=parse_duration(rules.within))
    words = {
        "creditor": policy.creditor.name,
        "address": ", ".join(policy.creditor.address),
        "contact": policy.creditor.contact,
        "date": in_words(today, texts.dates),
        "applied": in_words(applied, texts.dates),
        "due": in_words(due, texts.dates),
        "model": f"{event.data.model} v{event.data.version}",
        "request": event.id,
        "agencies": "; ".join(_reached(agency) for agency in rules.agencies),
    }
    sentences = tuple(dict.fromkeys(texts.reasons.get(reason.feature, reason.text) for reason in reasons))

    told = [block for item in scores for block in _score(item, texts, words)]
    unsaid = [block for item in scores for block in _score(item, texts, words, named=False)]

    def written(to: Sequence[str], of_scores: Sequence[Block]) -> Document:
        blocks: tuple[Block, ...] = (
            *((Text("Draft. It was not issued.", "strong"),) if draft else ()),
            Text(
                "\n".join(
                    (policy.creditor.name, *policy.creditor.address, *filter(None, [policy.creditor.contact]))
                )
            ),
            Text(words["date"]),
            Text("\n".join(to)),
            *(Text(text.format_map(words)) for text in texts.opening),
            Text(texts.heading.format_map(words), "heading"),
            Bullets(sentences, numbered=True),
            *(Text(text.format_map(words)) for text in texts.report),
            *of_scores,
            *(Text(text.format_map(words)) for text in texts.closing),
        )
        return Document(
            kind="notice",
            title=texts.title.format_map(words),
            subject=event.id,
            foot=event.id,
            date=today.isoformat(),
            language=chosen,
            sections=(Section(title="", blocks=blocks),),
        )

    return Notice(
        document=written(applicant or texts.placeholder, told),
        blank=written(texts.placeholder, unsaid),
        jurisdiction=jurisdiction,
        language=chosen,
        basis=rules.basis,
        reasons=tuple(reasons),
        scores=tuple(scores),
        applied=applied,
        due=due,
        late=today > due,
    )


def _score(item: Disclosure, texts: Letter, words: dict[str, str], *, named: bool = True) -> list[Block]:
    """What is said of one score; its number, day and factors stay in braces where nobody is ``named``."""
    said = texts.score
    assert said is not None  # the policy was checked
    known = said.factors.get(item.score.feature, {})
    for code in item.factors:
        if code not in known:
            raise SerinusError(
                "SRN-NOTICE-009",
                f"the letter has no sentence for factor {code} of {item.score.feature}",
                where="score.factors",
                hint=f"Add it to the notice policy, as the provider words it. There are: {', '.join(known)}.",
            )
    values = words | {
        "score": exact(item.value) if named else "{score}",
        "scored": in_words(item.created, texts.dates) if named else "{scored}",
        "low": exact(item.score.low),
        "high": exact(item.score.high),
        "provider": _reached(item.score.provider),
    }
    factors = tuple(known[code] for code in item.factors) if named else ("{factors}",)
    return [
        *(Text(text.format_map(values)) for text in said.opening),
        *((Text(said.heading.format_map(values)), Bullets(factors)) if item.factors else ()),
        *(Text(text.format_map(values)) for text in said.closing),
    ]


def _reached(whom: Agency) -> str:
    return f"{whom.name}, {', '.join(whom.address)}, {whom.telephone}"


def in_words(day: date, how: str) -> str:
    """A date as ``strftime`` writes it, but November 2 rather than November 02: beside a month's name, no zero."""
    named = any(name in how for name in ("%B", "%b", "%h"))
    return day.strftime(how.replace("%d", str(day.day)) if named else how)


def rules_of(policy: NoticePolicy, jurisdiction: str) -> Jurisdiction:
    """The rules of a jurisdiction. Raises ``SRN-NOTICE-007``, naming those that there are."""
    if jurisdiction in policy.jurisdictions:
        return policy.jurisdictions[jurisdiction]
    raise SerinusError(
        "SRN-NOTICE-007",
        f"the policy has no rules for {jurisdiction or 'a decision whose contract names no jurisdiction'}",
        where="--jurisdiction",
        hint=f"It has: {', '.join(policy.jurisdictions)}. Nothing was written.",
    )


def check_lines(lines: Sequence[str]) -> None:
    """Whether lines can be a name and an address. The lines are never quoted: they are a person's. Raises ``-008``."""
    wrong = None
    if len(lines) > LINES:
        wrong = f"{len(lines)} lines, {LINES} at most"
    elif any(len(line) > LONG for line in lines):
        wrong = f"a line of more than {LONG} characters"
    elif any(not line.isprintable() for line in lines):
        wrong = "a line with characters that cannot be printed"
    if wrong:
        raise SerinusError(
            "SRN-NOTICE-008",
            f"the applicant's lines are no name and address: {wrong}",
            where="--to",
            hint="Give a text file with the name on the first line and the address on the following ones.",
        )
