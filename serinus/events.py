"""The decision event: what was decided on which request, recomputable years later.

CloudEvents 1.0 in JSON form, hash-chained where stored. It holds the vector
that was scored and the digest of the model that scored it, never a protected
attribute: those are not features, and only features reach the scorer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from serinus.chain import ChainWriter, read_chain, verify_chain
from serinus.model.decision import ReasonCode

DECISION_TYPE = "io.serinus.decision.v1"


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The event's data. ``features`` is in the order of the contract's features; null is missing."""

    model: str
    version: int
    digest: str
    predictor: str
    score: float
    probability: float
    decision: str
    reasons: tuple[ReasonCode, ...] = ()
    features: tuple[float | None, ...]


class DecisionEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The envelope. ``id`` is the request id, ``[request id].[row]`` in a batch."""

    id: str
    source: str
    time: str
    data: Decision
    type: Literal["io.serinus.decision.v1"] = DECISION_TYPE
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"


_encoder = msgspec.json.Encoder()


class DecisionLog:
    """One writer's decisions, hash-chained, in one file. Raises as ``ChainWriter``."""

    def __init__(self, path: Path) -> None:
        self._writer = ChainWriter(path)
        self.path = path

    def append(self, events: Sequence[DecisionEvent], *, durable: bool = True) -> None:
        """Write a batch; with ``durable`` it is on the disk on return. Raises ``SRN-AUDIT-002``."""
        self._writer.append([_encoder.encode(event) for event in events], durable=durable)

    def close(self) -> None:
        """Release the file."""
        self._writer.close()


def read_decisions(path: Path) -> Iterator[DecisionEvent]:
    """Verified decisions of a log, in order. Raises ``SRN-AUDIT-003`` where the chain breaks."""
    for entry in read_chain(path):
        yield msgspec.json.decode(entry.body, type=DecisionEvent)


def verify_decisions(path: Path) -> tuple[int, str]:
    """Number of decisions and the last hash of a sound log."""
    return verify_chain(path)
