"""What the service asks of requests by entity: ports, and the request as the drift monitor reads it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

import msgspec

from serinus.model import Vectorizer
from serving.scorer.rows import Parsed, Place


class Enricher(Protocol):
    """Turns a request by entity into feature rows (``entities``)."""

    def rows(self, records: Sequence[Mapping[str, object]], place: Place) -> Parsed | Awaitable[Parsed]:
        """Rows for the records. Raises Refusal at ``place(i, column)``."""
        ...

    def feedback(self, request_id: str, at: str, truth: Sequence[Sequence[object]]) -> Awaitable[None] | None:
        """Outcomes of a decided request's rows, for features that read labels. Never raises."""
        ...


class Intake(Protocol):
    """Takes events and labels into the online store (``intake``)."""

    async def take(self, body: bytes, *, lines: bool) -> msgspec.Struct:
        """What became of a batch, as JSON or JSON lines. Raises Refusal."""
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
