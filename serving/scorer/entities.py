"""Requests by entity: records checked, enriched from the online store, and remembered once scored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from inspect import isawaitable
from typing import Literal

import numpy as np

from serinus.contract.words import absent
from serinus.errors import SerinusError
from serinus.features.online import Enriched, KnownLabel, Look, OnlineStore, assemble, remembered
from serinus.features.reading import FeatureEvent
from serinus.features.stream import Outcome
from serinus.features.values import micros
from serinus.model import FieldError, Vectorizer
from serving.scorer.entity_metrics import EntityMetrics
from serving.scorer.records import RecordCheck
from serving.scorer.refusal import Refusal
from serving.scorer.rows import Floats, Parsed, Place

OnFailure = Literal["refuse", "missing"]
_CHUNK = 64
"""Records that are enriched, or remembered, without letting other requests in."""


class StoreEnricher:
    """The service's ``Enricher`` over an online store.

    Args:
        store: where histories are; one behind a network makes ``rows`` an awaitable.
        vectorizer: encodes features and refuses what the contract refuses.
        metrics: counts unknown entities, late events and missing features.
        remember: whether a scored event enters the histories.
        on_failure: when the store cannot be asked: refuse the request (503), or
            score with every windowed feature missing, said so in the answer.
        ahead: seconds that an event may lie ahead of ``now``.
        now: seconds since the epoch.
        report: told of a store that began to fail, once until it works again.
        subjects: whom each record is about, where decisions are sealed by person.

    Raises:
        SerinusError: ``SRN-FEATURES-010`` if ``on_failure`` is ``missing`` and the
            contract refuses that.
    """

    def __init__(
        self,
        store: OnlineStore,
        vectorizer: Vectorizer,
        metrics: EntityMetrics,
        *,
        now: Callable[[], float],
        remember: bool = True,
        on_failure: OnFailure = "refuse",
        ahead: float = 86_400.0,
        report: Callable[[SerinusError], None] = lambda error: None,
        subjects: Callable[[Sequence[Mapping[str, object]]], tuple[str | None, ...]] | None = None,
    ) -> None:
        self.store = store
        self._subjects = subjects
        self.reader = store.reader
        self.metrics = metrics
        self.remember = remember
        self._vectorizer = vectorizer
        self._on_failure: OnFailure = on_failure
        self.now = now
        self._ahead = ahead
        self._report = report
        self._failing = False
        contract = self.reader.contract
        self._check = RecordCheck(contract, levels=vectorizer.levels)
        self._column = {f.name: f.column for f in contract.features if f.aggregate is None and f.column}
        self._entity = {f.name: f.entity for f in contract.features if f.entity}
        self._refused = frozenset(n for n in contract.entities if contract.entity(n).unknown == "refuse")
        if on_failure == "missing":
            self._may_be_missing()

    def _may_be_missing(self) -> None:
        contract = self.reader.contract
        refused = [
            f.name for f in contract.features if f.aggregate is not None and not contract.allows_missing(f)
        ]
        if refused:
            raise SerinusError(
                "SRN-FEATURES-010",
                f"--on-store-failure missing, but the contract refuses {', '.join(refused)} when missing",
                where=contract.name,
                hint="Leave it at refuse, or set missing: allow for them in the contract and train again.",
            )

    # ---- the request

    def read(self, records: Sequence[Mapping[str, object]], place: Place) -> Sequence[FeatureEvent]:
        """See ``Enricher.read``."""
        return self.events(records, place, self._check)

    def rows(
        self,
        records: Sequence[Mapping[str, object]],
        place: Place,
        events: Sequence[FeatureEvent] | None = None,
    ) -> Parsed | Awaitable[Parsed]:
        """Feature rows of the records, in their order: each as if it came alone, after the ones before it.

        Raises:
            Refusal: 400 at ``place(i, column)`` for what the contract refuses; 503 if
                the store cannot be asked.
        """
        if events is None:
            events = self.read(records, place)
        started = time.perf_counter()
        look = self.store.look(events)
        if isinstance(look, Look) and len(records) <= _CHUNK:
            self.metrics.took("look", time.perf_counter() - started)
            return self._parsed(records, events, self._vectors(records, events, look, place))
        return self._later(records, events, look, place, started)

    async def _later(
        self,
        records: Sequence[Mapping[str, object]],
        events: Sequence[FeatureEvent],
        look: Look | Awaitable[Look],
        place: Place,
        started: float,
    ) -> Parsed:
        if isawaitable(look):
            try:
                look = await look
            except SerinusError as error:
                return self._without_store(records, events, place, error)
        self._works()
        self.metrics.took("look", time.perf_counter() - started)
        vectors: list[Floats] = []
        for vector in self._each(records, events, look, place):
            vectors.append(vector)
            if len(vectors) % _CHUNK == 0:
                await asyncio.sleep(0)
        return self._parsed(records, events, vectors)

    def events(
        self, records: Sequence[Mapping[str, object]], place: Place, check: RecordCheck
    ) -> list[FeatureEvent]:
        """The records as events. Raises Refusal 400."""
        latest = (self.now() + self._ahead) * 1e6
        found: list[FeatureEvent] = []
        for i, record in enumerate(records):
            try:
                check(record)
            except FieldError as error:
                raise Refusal(400, place(i, error.field), error.message) from error
            event = self.reader.event(record)
            if event.arrival > latest:
                # One such event would make the store forget what lies before it.
                declared = self.reader.contract.event
                column = declared.time if event.time > latest else declared.arrival
                raise Refusal(
                    400, place(i, column or ""), f"lies more than {self._ahead:g} s ahead of the clock"
                )
            found.append(event)
        return found

    def _vectors(
        self,
        records: Sequence[Mapping[str, object]],
        events: Sequence[FeatureEvent],
        look: Look,
        place: Place,
    ) -> list[Floats]:
        return list(self._each(records, events, look, place))

    def _each(
        self,
        records: Sequence[Mapping[str, object]],
        events: Sequence[FeatureEvent],
        look: Look,
        place: Place,
    ) -> Iterator[Floats]:
        enriched = assemble(self.reader, records, events, look, remember=self.remember)
        for i, found in enumerate(enriched):
            self._judge(i, found, place)
            yield self._vector(i, found.values, place)

    def _judge(self, i: int, found: Enriched, place: Place) -> None:
        """What the contract says of late events and unknown entities."""
        contract = self.reader.contract
        if found.late:
            self.metrics.late()
            if contract.event.late == "refuse":
                raise Refusal(
                    400,
                    place(i, contract.event.time or ""),
                    f"lies more than {contract.event.lateness} before the newest event, and the contract refuses that",
                )
        for entity in found.unknown:
            self.metrics.unknown(entity)
            if entity in self._refused:
                raise Refusal(
                    400,
                    place(i, contract.entity(entity).column),
                    f"names an unknown {entity}, and the contract refuses that",
                )

    def _vector(self, i: int, values: Sequence[object], place: Place) -> Floats:
        for name, value in zip(self.reader.names, values, strict=True):
            if value is None:
                self.metrics.missing(name)
        try:
            return self._vectorizer.encode_values(values)
        except FieldError as error:
            column = self._column.get(error.field)
            message = error.message
            if column is None and error.field in self._entity:
                entity = self._entity[error.field]
                column = self.reader.contract.entity(entity).column
                message = f"has no {error.field}, and the contract refuses it missing"
            raise Refusal(400, place(i, column or error.field), message) from error

    def _parsed(
        self,
        records: Sequence[Mapping[str, object]],
        events: Sequence[FeatureEvent],
        vectors: list[Floats],
        notes: Mapping[str, str] | None = None,
    ) -> Parsed:
        rows = (vectors[0],) if len(vectors) == 1 else np.array(vectors)
        unknown = [
            self.reader.names[k]
            for record, vector in zip(records, vectors, strict=True)
            for k in self._vectorizer.categorical
            if vector[k] != vector[k] and not absent(record.get(self._column[self.reader.names[k]]))
        ]

        def after(request_id: str) -> Awaitable[None] | None:
            return self._remember(events, request_id)

        return Parsed(
            rows=rows,
            unknown=tuple(unknown),
            after=after if self.remember else None,
            subjects=None if self._subjects is None else self._subjects(records),
            notes=notes or {},
        )

    def _without_store(
        self,
        records: Sequence[Mapping[str, object]],
        events: Sequence[FeatureEvent],
        place: Place,
        error: SerinusError,
    ) -> Parsed:
        self._fails("look", error)
        if self._on_failure == "refuse":
            raise Refusal(
                503,
                "",
                f"the features cannot be looked up ({error.code}), so no decision is given",
                retry_after=1,
            ) from error
        vectors = [self._vector(i, self.reader.own(record), place) for i, record in enumerate(records)]
        self.metrics.without_store(len(records))
        return self._parsed(records, events, vectors, {"features": "missing"})

    # ---- after the answer is made

    def _remember(self, events: Sequence[FeatureEvent], request_id: str) -> Awaitable[None] | None:
        """Add the scored events; the decision stands, whatever becomes of that."""
        # The ids that the decision log gives.
        names = [request_id] if len(events) == 1 else [f"{request_id}.{i}" for i in range(len(events))]
        chosen = [i for i, event in enumerate(events) if remembered(self.reader, event)]
        self.metrics.unnamed(len(events) - len(chosen))
        if not chosen:
            return None
        if len(chosen) < len(events):
            events, names = [events[i] for i in chosen], [names[i] for i in chosen]
        if len(events) > _CHUNK:
            return self._remembered_later(events, names)
        found = self.store.add(events, names)
        if isinstance(found, list):
            self._added(found)
            return None
        return self._remembered_later(events, names, found)

    async def _remembered_later(
        self,
        events: Sequence[FeatureEvent],
        names: Sequence[str],
        first: Awaitable[list[Outcome]] | None = None,
    ) -> None:
        """Add them in parts, others being answered between; ``first`` adds the first of them."""
        started = time.perf_counter()
        try:
            for start in range(0, len(events), _CHUNK):
                found = first or self.store.add(events[start : start + _CHUNK], names[start : start + _CHUNK])
                first = None
                self._added(await found if isawaitable(found) else found)
                await asyncio.sleep(0)
            self._works()
        except SerinusError as error:
            self._fails("add", error)
        self.metrics.took("add", time.perf_counter() - started)

    def _added(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self.metrics.event(outcome)

    # ---- outcomes

    def feedback(self, request_id: str, at: str, truth: Sequence[Sequence[object]]) -> Awaitable[None] | None:
        """Outcomes of the rows of a decided request, known ``at`` (ISO 8601). Never raises."""
        known = micros(at)
        assert known is not None
        names = [request_id] if len(truth) == 1 else [f"{request_id}.{i}" for i in range(len(truth))]
        labels = [
            KnownLabel(value=row[0], at=known, decision=name)
            for name, row in zip(names, truth, strict=True)
            if row and not absent(row[0])
        ]
        if not labels or self.reader.label is None:
            return None
        if len(labels) > _CHUNK:
            return self._labelled_later(labels)
        found = self.store.label(labels)
        if isawaitable(found):
            return self._labelled_later(labels, found)
        self._labelled(found)
        return None

    async def _labelled_later(
        self, labels: Sequence[KnownLabel], first: Awaitable[list[bool]] | None = None
    ) -> None:
        try:
            for start in range(0, len(labels), _CHUNK):
                found = first or self.store.label(labels[start : start + _CHUNK])
                first = None
                self._labelled(await found if isawaitable(found) else found)
                await asyncio.sleep(0)
            self._works()
        except SerinusError as error:
            self._fails("label", error)

    def _labelled(self, found: Sequence[bool]) -> None:
        for known in found:
            self.metrics.event("label" if known else "label_waiting")

    # ---- the store's health

    def _fails(self, operation: str, error: SerinusError) -> None:
        self.metrics.failed(operation)
        if not self._failing:
            self._report(error)
        self._failing = True

    def _works(self) -> None:
        self._failing = False
