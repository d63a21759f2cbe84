"""Events and labels that come from the stream: ``POST /api/v1.0/events``.

A body is ``{"records": […], "labels": […]}``, or JSON lines of which each is a
record, or ``{"label": {…}}``. It is taken whole or, where something in it is wrong, not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from inspect import isawaitable
from typing import Any, NamedTuple

import msgspec

from serinus.contract.words import absent
from serinus.errors import SerinusError
from serinus.features.online import KnownLabel
from serinus.features.reading import FeatureEvent
from serinus.features.values import identifier, micros
from serinus.model import FieldError
from serving.scorer.entities import StoreEnricher
from serving.scorer.records import LONGEST_TIME, RecordCheck, refuse_long
from serving.scorer.refusal import Refusal, bad, decode_json
from serving.scorer.rows import Value

_CHUNK = 256
_lines = msgspec.json.Decoder(dict[str, Any])


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An outcome of the event ``event_id``, or of the one decided on under ``request_id``
    (with ``.<row>`` where that held several), known at ``at`` (ISO 8601; default: now)."""

    value: Value
    event_id: str | int | None = None
    request_id: str | None = None
    at: str | None = None


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body that is one JSON object."""

    records: list[dict[str, Value]] = []
    labels: list[Label] = []


class Taken(msgspec.Struct, frozen=True):
    """What became of a batch: events ``added``, ``duplicate`` (their id was there), ``late``
    (older than everything that is kept); ``labels`` set, ``labels_waiting`` for their event
    (or of no known one)."""

    added: int = 0
    duplicate: int = 0
    late: int = 0
    labels: int = 0
    labels_waiting: int = 0


class Read(NamedTuple):
    """A batch that nothing is wrong with."""

    events: Sequence[FeatureEvent]
    labels: Sequence[KnownLabel]


_batch = msgspec.json.Decoder(Batch)


class Intake:
    """Takes batches for an enricher's store."""

    def __init__(self, enricher: StoreEnricher) -> None:
        self._enricher = enricher
        self._check = RecordCheck(enricher.reader.contract, labelled=True)

    def read(self, body: bytes, *, lines: bool) -> Read:
        """A batch, checked; any thread may ask.

        Args:
            lines: the body is JSON lines.

        Raises:
            Refusal: 400 naming the record or line and the field.
        """
        batch, places = _decode_lines(body) if lines else (decode_json(_batch.decode, body), None)

        def place(i: int, column: str) -> str:
            return f"records[{i}].{column}" if places is None else f"line {places[i]}: {column}"

        enricher = self._enricher
        events = enricher.events(batch.records, place, self._check)
        now = enricher.now()
        labels = [
            known_label(label, now, f"labels[{i}]" if places is None else "label")
            for i, label in enumerate(batch.labels)
        ]
        return Read(events, labels)

    async def take(self, batch: Read) -> Taken:
        """Take one batch.

        Raises:
            Refusal: 503 if the store cannot be asked; what was taken by then is recognised
                when the batch is sent again.
        """
        enricher, events, labels = self._enricher, batch.events, batch.labels
        counts = dict.fromkeys(("added", "duplicate", "late", "labels", "labels_waiting"), 0)
        operation = "add"
        try:
            for start in range(0, len(events), _CHUNK):
                added = enricher.store.add(events[start : start + _CHUNK])
                for outcome in await added if isawaitable(added) else added:
                    counts[outcome] += 1
                await asyncio.sleep(0)
            operation = "label"
            for start in range(0, len(labels), _CHUNK):
                known = enricher.store.label(labels[start : start + _CHUNK])
                for was in await known if isawaitable(known) else known:
                    counts["labels" if was else "labels_waiting"] += 1
                await asyncio.sleep(0)
        except SerinusError as error:
            enricher.metrics.failed(operation)
            raise Refusal(
                503,
                "",
                f"the online store does not answer ({error.code}); send the batch again",
                retry_after=1,
            ) from error
        finally:
            for outcome in ("added", "duplicate", "late"):
                enricher.metrics.event(outcome, counts[outcome])
            enricher.metrics.event("label", counts["labels"])
            enricher.metrics.event("label_waiting", counts["labels_waiting"])
        return Taken(**counts)


def _decode_lines(body: bytes) -> tuple[Batch, list[int]]:
    """The batch, and each record's line, counted from 1."""
    records: list[dict[str, Value]] = []
    labels: list[Label] = []
    places: list[int] = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record: dict[str, Any] = decode_json(_lines.decode, line)
            label = label_in(record)
        except (Refusal, msgspec.ValidationError) as error:
            raise bad(f"line {number}", str(error)) from error
        if label is not None:
            labels.append(label)
        else:
            records.append(record)
            places.append(number)
    return Batch(records, labels), places


def label_in(line: Mapping[str, Any]) -> Label | None:
    """The label of a line that is one and no record. Raises msgspec.ValidationError if it is malformed."""
    if len(line) == 1 and isinstance(line.get("label"), dict):
        return msgspec.convert(line["label"], Label)
    return None


def known_label(label: Label, now: float, where: str) -> KnownLabel:
    """A label as a store takes it; ``now`` (seconds) where it does not say since when it is known.
    Raises Refusal 400 naming the field at fault below ``where``."""
    event = identifier(label.event_id)
    if (event is None) == (label.request_id is None):
        raise bad(where, "give exactly one of event_id and request_id")
    if absent(label.value):
        raise bad(f"{where}.value", "is missing")
    try:
        for name, value in (
            ("event_id", label.event_id),
            ("request_id", label.request_id),
            ("value", label.value),
        ):
            refuse_long(value, f"{where}.{name}")
    except FieldError as error:
        raise bad(error.field, error.message) from error
    at = known_micros(label.at, now, f"{where}.at")
    return KnownLabel(value=label.value, at=at, event=event, decision=label.request_id)


def known_micros(text: str | None, now: float, field: str) -> int:
    """When a label became known, in microseconds; ``now`` (seconds) where it does not say.
    Raises Refusal 400 at ``field``."""
    if text is not None and len(text) > LONGEST_TIME:
        raise bad(field, f"has {len(text):,} characters; a time has {LONGEST_TIME} at most")
    try:
        at = micros(text)
    except ValueError as error:
        raise bad(field, f"is {text!r}; expected a time in ISO 8601") from error
    return round(now * 1e6) if at is None else at
