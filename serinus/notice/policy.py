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


class Letter(_Strict, frozen=True, kw_only=True):
    """The texts of one language. ``{creditor}``, ``{address}``, ``{contact}``, ``{date}``, ``{applied}``, ``{due}``,
    ``{model}``, ``{request}`` and ``{agencies}`` stand for what they name.

    Attributes:
        title: the letter's; opening: paragraphs before the reasons; heading: over them.
        closing: paragraphs after them: the statement that the law asks for, and whatever else it wants said.
        report: paragraphs on the consumer reports that were used; demanded where the jurisdiction names agencies, and
            ``{agencies}`` must stand among them.
        placeholder: stands for the applicant where nobody is named.
        reasons: feature → its sentence in this language, in the place of the contract's.
        dates: how a date is written, for ``strftime``; beside a month's name a day has no zero in front.
    """

    title: _Line
    opening: Annotated[tuple[str, ...], Meta(min_length=1)]
    heading: _Line
    closing: Annotated[tuple[str, ...], Meta(min_length=1)]
    report: tuple[str, ...] = ()
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
        letters: by language (BCP 47); the first is the usual one.
    """

    basis: _Line
    within: str = "30d"
    max_reasons: Annotated[int, Meta(ge=1, le=10)] = 4
    inquiries: tuple[str, ...] = ()
    agencies: tuple[Agency, ...] = ()
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
        for language, letter in rules.letters.items():
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


def _blank(name: str, address: tuple[str, ...], telephone: str = "-") -> list[str]:
    given = {"name": name, "address": "".join(address), "telephone": telephone}
    return [what for what, text in given.items() if not text.strip()]


def _holes(text: str) -> list[str]:
    """What a model form leaves to be filled in, and nobody did."""
    return [f"{hole} was not filled in" for hole in _HOLE.findall(text)]


def _unknown(text: str) -> list[str]:
    try:
        used = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
    except ValueError as error:
        return [f"a brace is not closed ({error}): write {{{{ and }}}} for braces themselves"]
    return [
        f"{{{name}}} stands for nothing; there are {', '.join(WORDS)}" for name in used if name not in WORDS
    ]


def _bad(where: str, what: str) -> SerinusError:
    return SerinusError(
        "SRN-NOTICE-001",
        f"there is no policy for notices: {what}",
        where=where,
        hint="Copy models/credit/notices.yaml to notices.yaml in --home (or name a file with --policy), set the "
        "creditor, and have counsel read the texts. Nothing was written.",
    )
