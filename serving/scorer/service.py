"""A request's way from bytes to an answer, without HTTP: parse, score, count, record."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

import msgspec

from serinus.errors import SerinusError
from serinus.model import Answer, Vectorizer
from serinus.scoring import Explain, Scorer
from serving.scorer import feedback as feedbacks
from serving.scorer import v1, v2
from serving.scorer.decisions import Recorder
from serving.scorer.feedback import FeedbackSink
from serving.scorer.identity import Identity
from serving.scorer.metrics import Metrics
from serving.scorer.payloads import FEEDBACK, REQUEST, RESPONSE, PayloadSink
from serving.scorer.refusal import Refusal
from serving.scorer.rows import Parsed, checked_id


class Codec(Protocol):
    """A wire protocol: the modules ``v1`` and ``v2``."""

    PROTOCOL: str

    def decode(self, body: bytes, vectorizer: Vectorizer) -> Parsed:
        """Rows of a request; raises Refusal."""
        ...

    def encode(self, answers: list[Answer], parsed: Parsed, request_id: str, identity: Identity) -> bytes:
        """The answer's body."""
        ...

    def encode_error(self, status: int, message: str) -> bytes:
        """An error's body."""
        ...


V1: Codec = v1
V2: Codec = v2


class Reply(msgspec.Struct, frozen=True):
    """What HTTP sends back."""

    status: int
    body: bytes
    request_id: str = ""


class Service:
    """One scorer behind both protocols. Any thread may call its methods.

    Args:
        explain: for which answers reasons are given.
        now: seconds since the epoch.
        report: told of a fault that became a 500.
    """

    def __init__(
        self,
        scorer: Scorer,
        identity: Identity,
        metrics: Metrics,
        recorder: Recorder,
        payloads: PayloadSink,
        feedback: FeedbackSink,
        *,
        now: Callable[[], float],
        explain: Explain = "adverse",
        payload_mode: str = "all",
        report: Callable[[SerinusError], None] = lambda error: None,
    ) -> None:
        self.scorer = scorer
        self.identity = identity
        self.metrics = metrics
        self.recorder = recorder
        self._payloads = payloads
        self._feedback = feedback
        self._now = now
        self._explain: Explain = explain
        self._log_requests = payload_mode in ("all", "request")
        self._log_responses = payload_mode in ("all", "response")
        self._report = report

    def predict(
        self, codec: Codec, body: bytes, header_id: str | None, *, skip_payload: bool = False
    ) -> Reply:
        """Answer a scoring request. Never raises: what goes wrong is an answer in the protocol's shape."""
        request_id = ""
        try:
            request_id = checked_id(header_id, "Seldon-Puid") if header_id is not None else ""
            reply = self._score(codec, body, request_id)
        except Refusal as refusal:
            reply = Reply(
                refusal.status, codec.encode_error(refusal.status, str(refusal)), request_id or new_id()
            )
        except Exception as error:
            fault = error if isinstance(error, SerinusError) else _unexpected(error)
            self._report(fault)
            reply = Reply(500, codec.encode_error(500, f"{fault.code}: {fault.what}"), request_id or new_id())
        if not skip_payload:
            if self._log_requests and body:
                self._payloads.offer(REQUEST, reply.request_id, codec.PROTOCOL, body)
            if self._log_responses and reply.status == 200:
                self._payloads.offer(RESPONSE, reply.request_id, codec.PROTOCOL, reply.body)
        return reply

    def _score(self, codec: Codec, body: bytes, request_id: str) -> Reply:
        if self.recorder.full:
            raise Refusal(
                503, "", "decisions cannot be recorded at present, so none are given; try again later"
            )
        parsed = codec.decode(body, self.scorer.vectorizer)
        request_id = request_id or parsed.request_id or new_id()
        answers = self.scorer.score(parsed.rows, self._explain)
        reply = Reply(200, codec.encode(answers, parsed, request_id, self.identity), request_id)
        # Recorded before it is sent: no answer leaves that the log does not hold.
        self.recorder.record(request_id, parsed.rows, answers)
        self.metrics.answers(answers, parsed.unknown)
        return reply

    def feedback(self, body: bytes, header_id: str | None) -> Reply:
        """Keep an outcome. Never raises."""
        request_id = ""
        try:
            request_id = checked_id(header_id, "Seldon-Puid") if header_id is not None else ""
            kept = feedbacks.decode(body, request_id or None, self.identity.predictor, self._now)
            feedbacks.keep(self._feedback, kept)
        except Refusal as refusal:
            return Reply(refusal.status, V1.encode_error(refusal.status, str(refusal)), request_id)
        self._payloads.offer(FEEDBACK, kept.request_id, V1.PROTOCOL, body)
        return Reply(200, msgspec.json.encode({"meta": {"puid": kept.request_id}}), kept.request_id)


def new_id() -> str:
    """A request id for a request that brought none."""
    return os.urandom(16).hex()


def _unexpected(error: Exception) -> SerinusError:
    return SerinusError(
        "SRN-SCORER-005",
        f"an unforeseen {type(error).__name__} while scoring ({error})",
        hint="This is a fault of serinus; please report it with the request that caused it.",
    )
