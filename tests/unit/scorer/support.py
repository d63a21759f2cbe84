"""A service over the small bundle, with memory in place of disk and network, and ASGI called by hand."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from serinus.bundle import Bundle
from serinus.errors import SerinusError
from serinus.scoring import Scorer
from serving.scorer.app import App
from serving.scorer.decisions import Recorder
from serving.scorer.feedback import FeedbackMemory
from serving.scorer.identity import Identity
from serving.scorer.metrics import Metrics
from serving.scorer.payloads import PayloadMemory
from serving.scorer.service import Policy, Service
from serving.scorer.sinks import MemorySink
from serving.scorer.workers import Workers
from tests.support.bundles import small_bundle

NAMES = ["amount", "hour", "channel", "days_since_last", "merchant_risk"]
GOOD = [20.0, 12, "chip", 3.0, 0.01]
BAD = [900.0, 3, "online", None, 0.4]
NOW = 1_790_000_000.0


@cache
def bundle() -> Bundle:
    return small_bundle(Path(tempfile.mkdtemp(prefix="serinus-scorer-")))


@cache
def scorer() -> Scorer:
    return Scorer(bundle())


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Rig:
    """One app and everything it writes to."""

    app: App
    service: Service
    sink: MemorySink
    payloads: PayloadMemory
    feedback: FeedbackMemory
    metrics: Metrics
    reported: list[SerinusError] = field(default_factory=list)

    def call(self, method: str, path: str, body: bytes | list[bytes] = b"", **headers: str) -> Answered:
        chunks = [body] if isinstance(body, bytes) else body
        sent: list[dict[str, Any]] = []
        queue = [
            {"type": "http.request", "body": chunk, "more_body": i + 1 < len(chunks)}
            for i, chunk in enumerate(chunks)
        ]

        async def receive() -> dict[str, Any]:
            return queue.pop(0) if queue else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        raw = [(k.replace("_", "-").encode(), v.encode("latin-1")) for k, v in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": raw}
        asyncio.run(self.app(scope, receive, send))
        if not sent:
            return Answered(0, {}, b"")
        answer = {k.decode(): v.decode("latin-1") for k, v in sent[0]["headers"]}
        return Answered(sent[0]["status"], answer, sent[1]["body"])

    def predict(self, document: Any, path: str = "/api/v1.0/predictions", **headers: str) -> Answered:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.call("POST", path, body, **headers)

    def metric(self, line: str) -> float:
        """The value of a series, 0 where it does not exist."""
        for row in self.metrics.exposition().decode().splitlines():
            if row.startswith(line + " "):
                return float(row.rsplit(" ", 1)[1])
        return 0.0


def rig(
    *,
    model: Scorer | None = None,
    explain: Policy = "adverse",
    payload_mode: str = "all",
    limit: int = 100_000,
    **app: Any,
) -> Rig:
    made = model or scorer()
    identity = Identity(model="small", version=made.version, digest=made.digest, predictor="canary")
    metrics, sink, payloads, feedback = (
        Metrics(identity, ["channel"]),
        MemorySink(),
        PayloadMemory(),
        FeedbackMemory(),
    )
    reported: list[SerinusError] = []
    service = Service(
        made,
        identity,
        metrics,
        Recorder(sink, identity, now=lambda: NOW, limit=limit),
        payloads,
        feedback,
        now=lambda: NOW,
        explain=explain,
        workers=Workers(shed=metrics.shed),
        payload_mode=payload_mode,
        report=reported.append,
    )
    return Rig(App(service, **app), service, sink, payloads, feedback, metrics, reported)


def v1(*rows: list[Any], names: list[str] | None = None) -> dict[str, Any]:
    data: dict[str, Any] = {"ndarray": list(rows)}
    return {"data": data if names is None else {"names": names, **data}}


def v2(row: list[Any]) -> dict[str, Any]:
    kinds = ["FP64", "INT64", "BYTES", "FP64", "FP64"]
    return {
        "inputs": [
            {"name": name, "shape": [1], "datatype": kind, "data": [value]}
            for name, kind, value in zip(NAMES, kinds, row, strict=True)
        ]
    }
