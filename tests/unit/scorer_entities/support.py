"""A service that answers by entity, from memory, and what it counts."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC
from functools import cache
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.features.online import MemoryStore, OnlineStore
from serinus.scoring import Scorer
from serving.scorer.decisions import Recorder
from serving.scorer.entities import OnFailure, StoreEnricher
from serving.scorer.entity_metrics import EntityMetrics
from serving.scorer.feedback import FeedbackMemory
from serving.scorer.identity import Identity
from serving.scorer.intake import Intake
from serving.scorer.metrics import Metrics
from serving.scorer.payloads import PayloadMemory
from serving.scorer.service import V1, V2, Codec, Reply, Service
from serving.scorer.sinks import MemorySink
from serving.scorer.subjects import Subjects
from serving.scorer.workers import Workers
from tests.support.entities import START, cards, cards_bundle
from tests.support.scratch import scratch

NOW = START.replace(tzinfo=UTC).timestamp() + 30 * 86400


@cache
def scorer() -> Scorer:
    return Scorer(cards_bundle(scratch("cards")))


def scorer_of(contract: Contract) -> Scorer:
    return Scorer(cards_bundle(scratch("cards"), contract))


@dataclass
class Rig:
    service: Service
    store: OnlineStore
    metrics: Metrics
    recorder: Recorder
    sink: MemorySink
    payloads: PayloadMemory
    reported: list[SerinusError] = field(default_factory=list)

    def predict(self, document: Any, codec: Codec = V1, request_id: str | None = None) -> Reply:
        return asyncio.run(self.predicted(document, codec, request_id))

    async def predicted(
        self, document: Any, codec: Codec = V1, request_id: str | None = None, **asked: Any
    ) -> Reply:
        reply = self.service.predict(codec, json.dumps(document).encode(), request_id, **asked)
        return reply if isinstance(reply, Reply) else await reply

    def scores(self, *records: dict[str, Any], request_id: str | None = None) -> list[float]:
        """Probabilities of the records of one request."""
        reply = self.predict(by_entity(*records), request_id=request_id)
        assert reply.status == 200, reply.body
        return [row[0] for row in json.loads(reply.body)["data"]["ndarray"]]

    def refused(self, *records: dict[str, Any]) -> str:
        """Status and message of a refusal."""
        reply = self.predict(by_entity(*records))
        return f"{reply.status} {json.loads(reply.body)['status']['info']}"

    def vectors(self) -> list[tuple[float | None, ...]]:
        """The feature vectors of the decisions logged so far."""
        self.recorder.write()
        return [event.data.features for event in self.sink.events]

    def events(self, body: Any, *, lines: bool = False) -> Reply:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return asyncio.run(self.service.events(raw, lines=lines))

    def metric(self, name: str, **labels: str) -> float:
        """The value of the series of this predictor with these further labels."""
        wanted = {"model": "cards", "predictor": "canary", **labels}
        for family in text_string_to_metric_families(self.metrics.exposition().decode()):
            for sample in family.samples:
                if sample.name == name and sample.labels == wanted:
                    return sample.value
        raise AssertionError(f"no series {name} {labels}")


def rig(
    contract: Contract | None = None,
    store: OnlineStore | None = None,
    *,
    remember: bool = True,
    on_failure: OnFailure = "refuse",
    now: float = NOW,
    workers: Workers | None = None,
    subjects: Subjects | None = None,
) -> Rig:
    made = scorer() if contract is None else scorer_of(contract)
    identity = Identity(model="cards", version=made.version, digest=made.digest, predictor="canary")
    metrics, sink, payloads = Metrics(identity, ["kind"]), MemorySink(), PayloadMemory()
    kept = store or MemoryStore(contract or cards())
    reported: list[SerinusError] = []
    enricher = StoreEnricher(
        kept,
        made.vectorizer,
        EntityMetrics(metrics, identity, made.contract.feature_names, tuple(made.contract.entities)),
        now=lambda: now,
        remember=remember,
        on_failure=on_failure,
        report=reported.append,
        subjects=None if subjects is None else subjects.of_records,
    )
    recorder = Recorder(sink, identity, now=lambda: now, before=None if subjects is None else subjects.flush)
    service = Service(
        made,
        identity,
        metrics,
        recorder,
        payloads,
        FeedbackMemory(),
        now=lambda: now,
        enricher=enricher,
        intake=Intake(enricher),
        workers=workers,
        subjects=subjects,
        report=reported.append,
    )
    return Rig(service, kept, metrics, recorder, sink, payloads, reported)


def by_entity(*records: dict[str, Any]) -> dict[str, Any]:
    return {"jsonData": {"records": list(records)}}


def by_tensors(*records: dict[str, Any]) -> dict[str, Any]:
    """The same in V2: a tensor a column."""
    kinds = {float: "FP64", int: "INT64", str: "BYTES", bool: "BOOL"}
    return {
        "parameters": {"records": True},
        "inputs": [
            {
                "name": name,
                "shape": [len(records)],
                "datatype": kinds[type(value)],
                "data": [record[name] for record in records],
            }
            for name, value in records[0].items()
        ],
    }


__all__ = ["NOW", "V1", "V2", "by_entity", "by_tensors", "rig", "scorer"]
