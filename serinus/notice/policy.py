"""What a notice says, by jurisdiction and language: read from a file, since law does not belong in code."""

from __future__ import annotations

import os
import re
import string
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from serinus.documents import UnreadableError, read_yaml
from serinus.durations import parse_duration
from serinus.errors import SerinusError
from serinus.home import Home

FILE = "notices.yaml"
SCORE_WORDS = ("score", "scored", "low", "high", "provider")
"""What may stand in braces in the texts on a score, beside ``WORDS``; each must."""
WORDS = ("creditor", "address", "contact", "date", "applied", "due", "model", "request", "agencies")
"""What may stand in braces in a letter's texts."""
_HOLE = re.compile(r"\[[^\]]*\]|_{3,}")
_Line = Annotated[str, Meta(min_length=1, max_length=200)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A misspelt key is an error, never a silently ignored default."""


class Creditor(_Strict, frozen=True, kw_only=True):
    """Who decides and signs."""

    name: _Line
    address: Annotated[tuple[_Line, ...], Meta(min_length=1, max_length=6)]
    contact: str = ""


class Agency(_Strict, frozen=True, kw_only=True):
    """A consumer reporting agency whose report the decision rested on, in whole or in part: 15 USC 1681m(a)(3) asks for
    its name, address and telephone number, a toll-free one where it is a nationwide agency."""

    name: _Line
    address: Annotated[tuple[_Line, ...], Meta(min_length=1, max_length=6)]
    telephone: _Line


class Score(_Strict, frozen=True, kw_only=True):
    """A credit score that was bought and that a model reads: 15 USC 1681m(a)(2) with 1681g(f)(1) asks for the number,
    its range and day, who provided it and what spoke against the applicant in it, all of them in the decision's log.

    Attributes:
        feature: the model's feature that the score is.
        models: the models that read it; where none is named, whichever has the feature.
        provider: who provided it, or the file that it was made from.
        low, high: the range of possible scores. What lies outside is no score but a provider's code for having none.
        created: the feature that is its day: part ``day`` of a timestamp.
        factors: the features that hold the provider's codes of what lowered it, the strongest first.
        max_factors: how many of them are told.
        inquiries: codes that say how often credit was asked for; one is told beside the others.
        missing: what a decision without all of it means: ``refuse``, there is no letter until a person has looked;
            ``allow``, the applicant has no score, and nothing is said of one.
    """

    feature: _Line
    models: tuple[_Line, ...] = ()
    provider: Agency
    low: float
    high: float
    created: _Line
    factors: tuple[_Line, ...] = ()
    max_factors: Annotated[int, Meta(ge=1, le=10)] = 4
    inquiries: tuple[str, ...] = ()
    missing: Literal["refuse", "allow"] = "refuse"


class ScoreTexts(_Strict, frozen=True, kw_only=True):
    """What is said of a score; ``{score}``, ``{scored}`` (its day), ``{low}``, ``{high}`` and ``{provider}`` must be
    said.

    Attributes:
        opening: paragraphs before the factors; heading: over them; closing: paragraphs after them.
        factors: feature of the score → the provider's code → its sentence.
    """

    opening: Annotated[tuple[str, ...], Meta(min_length=1)]
    heading: _Line
    closing: tuple[str, ...] = ()
    factors: dict[str, dict[str, _Line]] = {}


class Letter(_Strict, frozen=True, kw_only=True):
    """The texts of one language. ``{creditor}``, ``{address}``, ``{contact}``, ``{date}``, ``{applied}``, ``{due}``,
    ``{model}``, ``{request}`` and ``{agencies}`` stand for what they name.

    Attributes:
        title: the letter's; opening: paragraphs before the reasons; heading: over them.
        closing: paragraphs after them: the statement that the law asks for, and whatever else it wants said.
        report: paragraphs on the consumer reports that were used; demanded where the jurisdiction names agencies, and
            ``{agencies}`` must stand among them.
        score: on the credit scores that were used; demanded where the jurisdiction declares scores.
        placeholder: stands for the applicant where nobody is named.
        reasons: feature → its sentence in this language, in the place of the contract's.
        dates: how a date is written, for ``strftime``; beside a month's name a day has no zero in front.
    """

    title: _Line
    opening: Annotated[tuple[str, ...], Meta(min_length=1)]
    heading: _Line
    closing: Annotated[tuple[str, ...], Meta(min_length=1)]
    report: tuple[str, ...] = ()
    score: ScoreTexts | None = None
    placeholder: Annotated[tuple[_Line, ...], Meta(min_length=1)]
    reasons: dict[str, _Line] = {}
    dates: str = "%Y-%m-%d"


class Jurisdiction(_Strict, frozen=True, kw_only=True):
    """The rules of one jurisdiction.

    Attributes:
        basis: the rule that it follows, cited for the record.
        within: from the application to the notice.
        max_reasons: principal reasons that are given.
        inquiries: features that say how often credit was asked for. Where one speaks against the applicant and is not
            among the principal reasons, it is given beside them.
        agencies: whose consumer reports the decisions rest on; empty where none is used.
        scores: credit scores that were bought and that models read; a model that does not have the feature used none.
        letters: by language (BCP 47); the first is the usual one.
    """

    basis: _Line
    within: str = "30d"
    max_reasons: Annotated[int, Meta(ge=1, le=10)] = 4
    inquiries: tuple[str, ...] = ()
    agencies: tuple[Agency, ...] = ()
    scores: tuple[Score, ...] = ()
    letters: Annotated[dict[str, Letter], Meta(min_length=1)]


class NoticePolicy(_Strict, frozen=True, kw_only=True):
    """``notices.yaml``; models/credit/notices.yaml is an example with every key."""

    apiVersion: Literal["serinus.io/v1"]  # noqa: N815  the Kubernetes spelling
    kind: Literal["NoticePolicy"]
    creditor: Creditor
    jurisdictions: Annotated[dict[str, Jurisdiction], Meta(min_length=1)]


def load_notice_policy(home: Home, explicit: Path | None = None) -> NoticePolicy:
    """The policy: the file named, else that of ``$SERINUS_NOTICES``, else ``<home>/notices.yaml``.

    There is no other: a letter without its creditor is none.

    Raises:
        SerinusError: ``SRN-NOTICE-001`` there is no file, it cannot be read, or it says what no policy says.
    """
    named = os.environ.get("SERINUS_NOTICES")
    path = explicit or (Path(named) if named else home.root / FILE)
    try:
        policy = msgspec.convert(read_yaml(path), NoticePolicy)
    except UnreadableError as error:
        raise _bad(error.where, f"it {error.what}") from error
    except msgspec.ValidationError as error:
        raise _bad(str(path), str(error)) from error
    wrong = problems(policy)
    if wrong:
        raise _bad(str(path), "; ".join(wrong))
    return policy


def problems(policy: NoticePolicy) -> list[str]:
    """What contradicts itself, all of it at once."""
    found: list[str] = []
    found += [f"creditor.{what} is blank" for what in _blank(policy.creditor.name, policy.creditor.address)]
    for name, rules in policy.jurisdictions.items():
        try:
            if parse_duration(rules.within) <= 0:
                found.append(f"{name}.within is no time at all")
        except ValueError as error:
            found.append(f"{name}.within: {error}")
        for agency in rules.agencies:
            where = f"{name}.agencies: {agency.name.strip() or 'one of them'}"
            found += [
                f"{where}: {what} is blank" for what in _blank(agency.name, agency.address, agency.telephone)
            ]
        for score in rules.scores:
            found += _score_problems(f"{name}.scores: {score.feature}", score)
        for language, letter in rules.letters.items():
            found += _text_problems(f"{name}.{language}.score", rules, letter.score)
            texts = (letter.title, letter.heading, *letter.opening, *letter.closing, *letter.report)
            for text in texts:
                found += [f"{name}.{language}: {wrong}" for wrong in (*_unknown(text), *_holes(text))]
            said = " ".join(texts)
            if "{contact}" in said and not policy.creditor.contact.strip():
                found.append(f"{name}.{language}: {{contact}} is used, and creditor.contact is blank")
            if rules.agencies and "{agencies}" not in " ".join(letter.report):
                found.append(
                    f"{name}.{language}.report does not name the {{agencies}} whose reports were used"
                )
            if not rules.agencies and (letter.report or "{agencies}" in said):
                found.append(
                    f"{name}.{language} speaks of consumer reports, and {name}.agencies names nobody"
                )
    return found


def _score_problems(where: str, score: Score) -> list[str]:
    provider = score.provider
    found = [
        f"{where}: {what} of the provider is blank"
        for what in _blank(provider.name, provider.address, provider.telephone)
    ]
    if not score.low < score.high:
        found.append(f"{where}: the range from {score.low:g} to {score.high:g} is none")
    named = (score.feature, score.created, *score.factors)
    if len(set(named)) < len(named):
        found.append(f"{where}: a feature is named twice")
    return found


def _text_problems(where: str, rules: Jurisdiction, texts: ScoreTexts | None) -> list[str]:
    if texts is None:
        return [f"{where} is missing, and scores are declared"] if rules.scores else []
    if not rules.scores:
        return [f"{where} speaks of credit scores, and scores declares none"]
    said = (*texts.opening, texts.heading, *texts.closing)
    found = [
        f"{where}: {wrong}"
        for text in said
        for wrong in (*_unknown(text, WORDS + SCORE_WORDS), *_holes(text))
    ]
    found += [
        f"{where} does not say {{{word}}}" for word in SCORE_WORDS if f"{{{word}}}" not in " ".join(said)
    ]
    for score in rules.scores:
        if score.factors and not texts.factors.get(score.feature):
            found.append(f"{where}.factors has no sentences for the codes of {score.feature}")
    return found


def _blank(name: str, address: tuple[str, ...], telephone: str = "-") -> list[str]:
    given = {"name": name, "address": "".join(address), "telephone": telephone}
    return [what for what, text in given.items() if not text.strip()]


def _holes(text: str) -> list[str]:
    """What a model form leaves to be filled in, and nobody did."""
    return [f"{hole} was not filled in" for hole in _HOLE.findall(text)]


def _unknown(text: str, words: tuple[str, ...] = WORDS) -> list[str]:
    try:
        used = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
    except ValueError as error:
        return [f"a brace is not closed ({error}): write {{{{ and }}}} for braces themselves"]
    return [
        f"{{{name}}} stands for nothing; there are {', '.join(words)}" for name in used if name not in words
    ]


def _bad(where: str, what: str) -> SerinusError:
    return SerinusError(
        "SRN-NOTICE-001",
        f"there is no policy for notices: {what}",
        where=where,
        hint="Copy models/credit/notices.yaml to notices.yaml in --home (or name a file with --policy), set the "
        "creditor, and have counsel read the texts. Nothing was written.",
    )
