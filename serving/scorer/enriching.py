"""What the service asks of requests by entity: ports, and the request as the drift monitor reads it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from serinus.features.reading import FeatureEvent
from serinus.model import Vectorizer
from serving.scorer.rows import Parsed, Place


class Enricher(Protocol):
    """Turns a request by entity into feature rows (``entities``)."""

    def read(self, records: Sequence[Mapping[str, object]], place: Place) -> Sequence[FeatureEvent]:
        """The records as events, checked; any thread may ask. Raises Refusal at ``place(i, column)``."""
        ...

    def rows(
        self,
        records: Sequence[Mapping[str, object]],
        place: Place,
        events: Sequence[FeatureEvent] | None = None,
    ) -> Parsed | Awaitable[Parsed]:
        """Rows for the records, of which ``read`` may have made the events. Raises Refusal as it does."""
        ...

    def feedback(self, request_id: str, at: str, truth: Sequence[Sequence[object]]) -> Awaitable[None] | None:
        """Outcomes of a decided request's rows, for features that read labels. Never raises."""
        ...


class Intake(Protocol):
    """Takes events and labels into the online store (``intake``)."""

    def read(self, body: bytes, *, lines: bool) -> Any:
        """A batch in JSON or JSON lines, checked; any thread may ask. Raises Refusal."""
        ...

    async def take(self, batch: Any) -> msgspec.Struct:
        """What became of a batch that ``read`` made. Raises Refusal."""
        ...


def merged(asked: Parsed, found: Parsed) -> Parsed:
    """The enriched rows, with what else the request asked for."""
    return msgspec.structs.replace(
        found, request_id=asked.request_id, outputs=asked.outputs, packed=asked.packed
    )


def monitored(vectorizer: Vectorizer, parsed: Parsed) -> bytes:
    """Enriched rows as a V1 request of features: what was scored, and no id of anybody."""
    rows = [list(vectorizer.decode(row).values()) for row in parsed.rows]
    return msgspec.json.encode({"data": {"names": vectorizer.names, "ndarray": rows}})
