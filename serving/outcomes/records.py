"""Lines of the logs as the join reads them: decisions, outcomes, protected attributes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from serinus.chain import NotAnEntry, decode_entry
from serinus.contract import Label
from serinus.events import DECISION_TYPE
from serinus.features.values import label_value
from serinus.privacy import Keys, NoKeys, Withheld
from serinus.privacy.seal import key_of, unsealed
from serinus.review.rules import Answered

Kind = Literal["decisions", "feedback", "labels", "protected", "reviews"]


class Unreadable(ValueError):  # noqa: N818  what a line is, not a fault of ours
    """A line that is not what it should be; the message says why."""


class Decided(msgspec.Struct, frozen=True):
    """A decision as the join keeps it. ``at`` in Unix seconds."""

    id: str
    at: float
    predictor: str
    version: int
    probability: float
    decision: str
    key: str = ""


class Sealed(msgspec.Struct, frozen=True):
    """A decision that cannot be read: its person was erased, or its key is not here."""

    why: str


class Outcome(msgspec.Struct, frozen=True):
    """What became of one decision, and when that was known (Unix seconds). ``word``: it is a reviewer's word,
    which gives way to an outcome that is known later, in whatever order the two are read."""

    id: str
    bad: bool
    at: float
    word: bool = False


class Review(msgspec.Struct, frozen=True):
    """A person's answer to a decision that was referred to them, and which way the model leaned (True is bad)."""

    id: str
    bad: bool
    leaning: bool
    at: float


class Groups(msgspec.Struct, frozen=True):
    """Protected attributes of whom one request was about."""

    id: str
    attributes: dict[str, str]


class _Data(msgspec.Struct, frozen=True):
    model: str
    version: int
    predictor: str
    probability: float
    decision: str


class _Body(msgspec.Struct, frozen=True):
    id: str
    time: str
    data: _Data


class _Entry(msgspec.Struct, frozen=True):
    body: _Body


class _Feedback(msgspec.Struct, frozen=True):
    request_id: str
    time: str
    truth: list[list[Any]] | None = None


class _Labelled(msgspec.Struct, frozen=True):
    request_id: str
    label: Any
    time: str


class _Protected(msgspec.Struct, frozen=True):
    request_id: str
    attributes: dict[str, Any]


_answered = msgspec.json.Decoder(Answered)
_body = msgspec.json.Decoder(_Body)
_entry = msgspec.json.Decoder(_Entry)
_feedback = msgspec.json.Decoder(_Feedback)
_labelled = msgspec.json.Decoder(_Labelled)
_protected = msgspec.json.Decoder(_Protected)


def read_decision(line: bytes, model: str, keys: Keys | None = None) -> Decided | Sealed | None:
    """A line of a decision log; None if it is about another model. Raises ``Unreadable``."""
    key = key_of(line)
    try:
        if key is None:
            body = _entry.decode(line).body
        else:
            body = _body.decode(unsealed(bytes(decode_entry(line).body), keys or NoKeys(), DECISION_TYPE))
    except Withheld as error:
        return Sealed(error.why) if _of_model(line) == model else None
    except (msgspec.DecodeError, NotAnEntry) as error:
        raise Unreadable(str(error)) from error
    data = body.data
    if data.model != model:
        return None
    at = seconds(body.time)
    return Decided(body.id, at, data.predictor, data.version, data.probability, data.decision, key or "")


class _SealedData(msgspec.Struct, frozen=True):
    model: str


class _SealedBody(msgspec.Struct, frozen=True):
    data: _SealedData


class _SealedEntry(msgspec.Struct, frozen=True):
    body: _SealedBody


def _of_model(line: bytes) -> str:
    return msgspec.json.decode(line, type=_SealedEntry).body.data.model


def read_feedback(line: bytes, label: Label) -> list[Outcome]:
    """The outcomes in a line of the feedback file: one per row of ``truth``, none for a reward alone.

    A request of one row is ``request_id``; the rows of a larger one are ``request_id.0`` and so on,
    as the decision log names them. Raises ``Unreadable``.
    """
    try:
        feedback = _feedback.decode(line)
    except msgspec.DecodeError as error:
        raise Unreadable(str(error)) from error
    rows, at = feedback.truth or [], seconds(feedback.time)
    found: list[Outcome] = []
    for i, row in enumerate(rows):
        value = label_value(row[0] if row else None, label)
        if value is not None:
            name = feedback.request_id if len(rows) == 1 else f"{feedback.request_id}.{i}"
            found.append(Outcome(name, bool(value), at))
    return found


def read_review(line: bytes) -> Review:
    """A line of the file of answers. Raises ``Unreadable``."""
    try:
        found = _answered.decode(line)
        bad = bool(found.truth[0][0])
    except (msgspec.DecodeError, IndexError) as error:
        raise Unreadable(str(error)) from error
    return Review(found.request_id, bad, bool(found.leaning), seconds(found.time))


def read_label(line: bytes, label: Label) -> list[Outcome]:
    """A line of a label file: ``{"request_id", "label", "time"}``. Raises ``Unreadable``."""
    try:
        found = _labelled.decode(line)
    except msgspec.DecodeError as error:
        raise Unreadable(str(error)) from error
    value = label_value(found.label, label)
    return [] if value is None else [Outcome(found.request_id, bool(value), seconds(found.time))]


def read_label_row(header: Sequence[str], line: bytes, label: Label) -> list[Outcome]:
    """A line of a CSV label file with the columns ``request_id``, ``label`` and ``time``. Raises ``Unreadable``."""
    try:
        values = next(csv.reader([line.decode("utf-8")]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise Unreadable(str(error)) from error
    if len(values) != len(header):
        raise Unreadable(f"{len(values)} columns where the header has {len(header)}")
    row = dict(zip(header, values, strict=True))
    value = label_value(row["label"], label)
    return [] if value is None else [Outcome(row["request_id"], bool(value), seconds(row["time"]))]


def read_groups(line: bytes, keys: Keys | None = None) -> Groups | Sealed:
    """A line of the restricted file: ``{"request_id", "attributes": {"race": "black"}}``, sealed or not.

    Raises ``Unreadable``.
    """
    try:
        found = _protected.decode(unsealed(line, keys or NoKeys(), DECISION_TYPE))
    except Withheld as error:
        return Sealed(error.why)
    except msgspec.DecodeError as error:
        raise Unreadable(str(error)) from error
    return Groups(found.request_id, {k: str(v) for k, v in found.attributes.items() if v is not None})


def seconds(text: str) -> float:
    """Unix seconds of an ISO 8601 time; one without a zone is UTC. Raises ``Unreadable``."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Unreadable(f"{text!r} is not a time") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
