"""What a notice says, by jurisdiction and language: read from a file, since law does not belong in code."""

from __future__ import annotations

import os
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
WORDS = ("creditor", "address", "contact", "date", "applied", "due", "model", "request")
"""What may stand in braces in a letter's texts."""
_Line = Annotated[str, Meta(min_length=1, max_length=200)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A misspelt key is an error, never a silently ignored default."""


class Creditor(_Strict, frozen=True, kw_only=True):
    """Who decides and signs."""

    name: _Line
    address: Annotated[tuple[_Line, ...], Meta(min_length=1, max_length=6)]
    contact: str = ""


class Letter(_Strict, frozen=True, kw_only=True):
    """The texts of one language. ``{creditor}``, ``{address}``, ``{contact}``, ``{date}``, ``{applied}``, ``{due}``,
    ``{model}`` and ``{request}`` stand for what they name.

    Attributes:
        title: the letter's; opening: paragraphs before the reasons; heading: over them.
        closing: paragraphs after them: the statement that the law asks for, and whatever else it wants said.
        placeholder: stands for the applicant where nobody is named.
        reasons: feature → its sentence in this language, in the place of the contract's.
        dates: how a date is written, for ``strftime``.
    """

    title: _Line
    opening: Annotated[tuple[str, ...], Meta(min_length=1)]
    heading: _Line
    closing: Annotated[tuple[str, ...], Meta(min_length=1)]
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
        letters: by language (BCP 47); the first is the usual one.
    """

    basis: _Line
    within: str = "30d"
    max_reasons: Annotated[int, Meta(ge=1, le=10)] = 4
    inquiries: tuple[str, ...] = ()
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
    for name, rules in policy.jurisdictions.items():
        try:
            if parse_duration(rules.within) <= 0:
                found.append(f"{name}.within is no time at all")
        except ValueError as error:
            found.append(f"{name}.within: {error}")
        for language, letter in rules.letters.items():
            for text in (letter.title, letter.heading, *letter.opening, *letter.closing):
                found += [f"{name}.{language}: {wrong}" for wrong in _unknown(text)]
    return found


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
