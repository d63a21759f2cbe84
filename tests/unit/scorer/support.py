"""A service over the small bundle, with memory in place of disk and network, and connections without a socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from serinus.bundle import Bundle
from serinus.errors import SerinusError
from serinus.scoring import Scorer
from serving.scorer.app import App
from serving.scorer.decisions import Recorder
from serving.scorer.feedback import FeedbackMemory
from serving.scorer.identity import Identity
from serving.scorer.listener import Limits, Listener
from serving.scorer.metrics import Metrics
from serving.scorer.payloads import PayloadMemory
from serving.scorer.service import Policy, Service
from serving.scorer.sinks import MemorySink
from serving.scorer.subjects import Subjects
from serving.scorer.workers import Workers
from tests.support.bundles import small_bundle
from tests.support.scratch import scratch

NAMES = ["amount", "hour", "channel", "days_since_last", "merchant_risk"]
GOOD = [20.0, 12, "chip", 3.0, 0.01]
BAD = [900.0, 3, "online", None, 0.4]
NOW = 1_790_000_000.0


@cache
def bundle() -> Bundle:
    return small_bundle(scratch("scorer"))


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


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and what else was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.asked: list[str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.sent += b"".join(list_of_data)

    def is_closing(self) -> bool:
        return "close" in self.asked or "abort" in self.asked

    def close(self) -> None:
        self.asked.append("close")

    def abort(self) -> None:
        self.asked.append("abort")

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.asked.append("eof")

    def pause_reading(self) -> None:
        self.asked.append("pause")

    def resume_reading(self) -> None:
        self.asked.append("resume")

    def answers(self, head: bool = False) -> list[Answered]:
        """The whole answers so far; ``head`` if they have no bodies."""
        found: list[Answered] = []
        rest = bytes(self.sent)
        while b"\r\n\r\n" in rest:
            start, _, rest = rest.partition(b"\r\n\r\n")
            status, *lines = start.decode("latin-1").split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            code, length = int(status.split(" ")[1]), 0 if head else int(headers.get("content-length", 0))
            if len(rest) < length:
                break
            if code >= 200:
                found.append(Answered(code, headers, rest[:length]))
            rest = rest[length:]
        return found


@dataclass
class Rig:
    """One app and everything it writes to."""

    app: App
    listener: Listener
    service: Service
    sink: MemorySink
    payloads: PayloadMemory
    feedback: FeedbackMemory
    metrics: Metrics
    reported: list[SerinusError] = field(default_factory=list)

    def call(self, method: str, path: str, body: bytes | list[bytes] = b"", **headers: str) -> Answered:
        """One request over a connection of its own; a body in pieces arrives in as many segments.

        No pieces at all: the client leaves where its body should begin.
        """
        chunks = [body] if isinstance(body, bytes) else body
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        named.setdefault("content-length", str(sum(map(len, chunks)) if chunks else 10))
        lines = "".join(f"{k}: {v}\r\n" for k, v in named.items())
        head = f"{method} {path} HTTP/1.1\r\nhost: scorer\r\n{lines}\r\n".encode("latin-1")
        answers = self.exchange([head, *chunks])
        return answers[0] if answers else Answered(0, {}, b"")

    def exchange(self, segments: list[bytes], *, answers: int = 1) -> list[Answered]:
        """What comes back on one connection for these segments, until as many answers are whole."""

        async def story() -> list[Answered]:
            wire = Wire()
            connection = self.listener.connect()
            connection.connection_made(wire)
            try:
                for segment in segments:
                    connection.data_received(segment)
                async with asyncio.timeout(20):
                    while len(wire.answers()) < answers and connection.answering:
                        await asyncio.sleep(0)
                return wire.answers()
            finally:
                connection.connection_lost(None)
                self.listener.abort()

        return asyncio.run(story())

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
    sample: float = 0.02,
    payload_mode: str = "all",
    limit: int = 100_000,
    limits: Limits | None = None,
    subjects: Subjects | None = None,
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
        Recorder(
            sink, identity, now=lambda: NOW, limit=limit, before=None if subjects is None else subjects.flush
        ),
        payloads,
        feedback,
        now=lambda: NOW,
        explain=explain,
        sample=sample,
        workers=Workers(),
        subjects=subjects,
        payload_mode=payload_mode,
        clock=app.get("clock", time.monotonic),
        report=reported.append,
    )
    made_app = App(service, **app)
    listener = Listener(made_app, limits or Limits(body=app.get("max_body", 4 << 20)))
    return Rig(made_app, listener, service, sink, payloads, feedback, metrics, reported)


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
