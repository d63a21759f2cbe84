"""A request's way from a body to an answer, without its transport: parse, score, count, record."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import Any, Literal, cast

import msgspec

from serinus.errors import SerinusError
from serinus.model import Answer
from serinus.model.answers import Answers
from serinus.scoring import Explain, Scorer
from serving.scorer import feedback as feedbacks
from serving.scorer import v1, v2
from serving.scorer.codec import Codec, Reply, new_id
from serving.scorer.decisions import Recorder
from serving.scorer.enriching import Enricher, Intake, merged, monitored
from serving.scorer.feedback import Feedback, FeedbackSink
from serving.scorer.framing import Framed
from serving.scorer.identity import Identity
from serving.scorer.metrics import Metrics
from serving.scorer.payloads import FEEDBACK, REQUEST, RESPONSE, NoPayloads, PayloadSink
from serving.scorer.refusal import Refusal
from serving.scorer.rows import After, Parsed, checked_id
from serving.scorer.subjects import Subjects
from serving.scorer.workers import Workers

Policy = Literal["always", "adverse", "sampled", "never"]
"""For which answers reasons are given; ``sampled`` adds a share of the approved to the adverse ones."""


V1: Codec = v1
V2: Codec = v2


class Service:
    """One scorer behind every protocol, on one event loop.

    Args:
        explain: for which answers reasons are given.
        sample: share of approved answers that get reasons under ``sampled``.
        enricher: turns requests by entity into rows; without one they are refused.
        intake: takes events; without one they are refused.
        workers: the threads for large bodies; without one they are answered in line.
        subjects: the keys that seal decisions by person; without them decisions are kept in clear.
        now: seconds since the epoch.
        clock: seconds on the clock of deadlines.
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
        clock: Callable[[], float] = time.monotonic,
        explain: Policy = "adverse",
        sample: float = 0.02,
        payload_mode: str = "all",
        enricher: Enricher | None = None,
        intake: Intake | None = None,
        workers: Workers | None = None,
        subjects: Subjects | None = None,
        report: Callable[[SerinusError], None] = lambda error: None,
    ) -> None:
        self.scorer = scorer
        self.identity = identity
        self.metrics = metrics
        self.recorder = recorder
        self._payloads = payloads
        self._feedback = feedback
        self._now = now
        self._clock = clock
        self._policy: Explain | None = None if explain == "sampled" else explain
        self._sampled_below = round(sample * 2**32)
        watched = not isinstance(payloads, NoPayloads)
        self._log_requests = watched and payload_mode in ("all", "request")
        self._log_responses = watched and payload_mode in ("all", "response")
        self._enricher = enricher
        self._intake = intake
        self._labelling: set[asyncio.Future[None]] = set()
        self._workers = workers
        self._subjects = subjects
        self._report = report

    def predict(
        self,
        codec: Codec,
        body: Any,
        header_id: str | None,
        *,
        skip_payload: bool = False,
        deadline: float | None = None,
        arrived: float | None = None,
        subject: str | None = None,
    ) -> Reply | Awaitable[Reply]:
        """Answer a scoring request and count it.

        Never raises, nor does what it returns: what goes wrong is an answer in the protocol's shape.

        Args:
            header_id: the request id from the transport's headers.
            skip_payload: keep the request from the drift monitor.
            deadline: on ``clock``; a request that cannot be answered by then is refused (503).
            arrived: on ``clock``, where the transport has looked at it already.
            subject: whom feature vectors are about, from the transport's headers.

        Returns:
            The reply where nothing had to be waited for; else what gives it.
        """
        started = self._clock() if arrived is None else arrived
        request_id = ""
        try:
            request_id = checked_id(header_id, "Seldon-Puid") if header_id is not None else ""
            if self.recorder.full:
                raise Refusal(
                    503,
                    "",
                    "decisions cannot be recorded at present, so none are given; try again later",
                    retry_after=1,
                )
            if deadline is not None:
                self._in_time(deadline)
            if self._workers is not None and codec.size(body) >= self._workers.from_bytes:
                made = self._in_thread(codec, body, request_id, deadline, subject)
            else:
                parsed = codec.decode(body, self.scorer.vectorizer)
                if subject is not None and self._subjects is not None:
                    parsed = _about(parsed, subject)
                if parsed.records is None:
                    made = self._recorded(*self._scored(codec, parsed, request_id))
                else:
                    made = self._enriched(codec, parsed, request_id, deadline)
        except Exception as error:
            made = self._failed(codec, request_id, error)
        if isinstance(made, Reply):
            return self._done(codec, body, made, started, skip_payload)
        return self._later(codec, body, request_id, made, started, skip_payload)

    async def _later(
        self,
        codec: Codec,
        body: Any,
        request_id: str,
        made: Awaitable[Reply],
        started: float,
        skip_payload: bool,
    ) -> Reply:
        self.metrics.in_flight(1)
        try:
            reply = await made
        except Exception as error:
            reply = self._failed(codec, request_id, error)
        finally:
            self.metrics.in_flight(-1)
        return self._done(codec, body, reply, started, skip_payload)

    def _done(self, codec: Codec, body: Any, reply: Reply, started: float, skip_payload: bool) -> Reply:
        if (self._log_requests or self._log_responses) and not skip_payload:
            if self._log_requests and codec.size(body) and reply.monitored != b"":
                if reply.monitored is None:
                    self._payloads.offer(REQUEST, reply.request_id, codec.PROTOCOL, codec.payload(body))
                else:
                    self._payloads.offer(REQUEST, reply.request_id, V1.PROTOCOL, reply.monitored)
            if self._log_responses and reply.status == 200:
                self._payloads.offer(RESPONSE, reply.request_id, codec.PROTOCOL, codec.payload(reply.body))
        self.metrics.request(reply.status, self._clock() - started)
        return reply

    def _failed(self, codec: Codec, request_id: str, error: Exception) -> Reply:
        request_id = request_id or new_id()
        if isinstance(error, Refusal):
            if error.shed:
                self.metrics.shed(error.shed)
            return Reply(
                error.status, codec.encode_error(error.status, str(error)), request_id, error.retry_after
            )
        fault = error if isinstance(error, SerinusError) else _unexpected(error)
        self._report(fault)
        return Reply(500, codec.encode_error(500, f"{fault.code}: {fault.what}"), request_id)

    def unforeseen(self, error: Exception) -> str:
        """Report a fault outside scoring; what the client is told of it."""
        fault = error if isinstance(error, SerinusError) else _unexpected(error)
        self._report(fault)
        return f"{fault.code}: {fault.what}"

    def refused(self, refusal: Refusal) -> None:
        """Count a scoring request that the transport refused."""
        if refusal.shed:
            self.metrics.shed(refusal.shed)
        self.metrics.request(refusal.status, 0.0)

    async def in_thread[T](self, work: Callable[[], T], size: int) -> T:
        """Do it where single rows do not wait for it. Raises what it raises, and Refusal 429."""
        return work() if self._workers is None else await self._workers.run(work, size, None)

    # --- the steps -------------------------------------------------------

    def _in_time(self, deadline: float) -> None:
        """Raises Refusal 503 if it is past the deadline."""
        if self._clock() >= deadline:
            raise Refusal(503, "", "the request's deadline passed before its answer", shed="deadline")

    def _scored(
        self, codec: Codec, parsed: Parsed, request_id: str
    ) -> tuple[Reply, Parsed, Sequence[Answer] | Answers]:
        request_id = request_id or parsed.request_id or new_id()
        explain = self._policy or self._sampled(request_id)
        rows = parsed.rows
        answers: Sequence[Answer] | Answers
        if len(rows) == 1:
            answers = (self.scorer.one(rows[0], explain),)
        else:
            self._room(len(rows))
            answers = self.scorer.many(cast("Any", rows), explain)
        body = codec.encode(answers, parsed, request_id, self.identity)
        headers = body.headers if type(body) is Framed else b""
        return Reply(200, body, request_id, 0, headers), parsed, answers

    def _room(self, rows: int) -> None:
        """Raises Refusal: 413 for a batch that the log can never take, 429 for one that has to wait."""
        if rows > self.recorder.largest:
            raise Refusal(
                413, "", f"a request may hold {self.recorder.largest:,} rows; this one has {rows:,}"
            )
        if not self.recorder.room(rows):
            raise Refusal(
                429, "", f"{self.recorder.pending:,} decisions wait to be recorded; send the batch again later",
                retry_after=1, shed="queue",
            )  # fmt: skip

    def _recorded(
        self, reply: Reply, parsed: Parsed, answers: Sequence[Answer] | Answers
    ) -> Reply | Awaitable[Reply]:
        """Recorded before it is sent: no answer leaves that the log does not hold."""
        keys = None
        if self._subjects is not None:
            keys = self._subjects.keys(reply.request_id, parsed.subjects, len(answers))
        kept = self.recorder.record(reply.request_id, parsed.rows, answers, keys)
        if kept is not None:
            return self._stored(kept, reply, parsed, answers)
        self.metrics.answers(answers, parsed.unknown)
        return reply

    async def _stored(
        self, kept: Awaitable[None], reply: Reply, parsed: Parsed, answers: Sequence[Answer] | Answers
    ) -> Reply:
        try:
            await kept
        except SerinusError as error:
            # Reported once by the recorder, not once a request.
            raise Refusal(
                503, "", f"the decision could not be recorded ({error.code}), so it is not given; try again"
            ) from error
        self.metrics.answers(answers, parsed.unknown)
        return reply

    async def _in_thread(
        self, codec: Codec, body: Any, request_id: str, deadline: float | None, subject: str | None
    ) -> Reply:
        assert self._workers is not None

        def work() -> tuple[Reply, Parsed, Sequence[Answer] | Answers] | Parsed:
            if deadline is not None:
                self._in_time(deadline)
            parsed = codec.decode(body, self.scorer.vectorizer)
            if subject is not None and self._subjects is not None:
                parsed = _about(parsed, subject)
            return parsed if parsed.records is not None else self._scored(codec, parsed, request_id)

        found = await self._workers.run(work, codec.size(body), self._left(deadline))
        if isinstance(found, Parsed):
            return await self._enriched_apart(codec, found, request_id, deadline, codec.size(body))
        made = self._recorded(*found)
        return made if isinstance(made, Reply) else await made

    def _enriched(
        self, codec: Codec, parsed: Parsed, request_id: str, deadline: float | None
    ) -> Reply | Awaitable[Reply]:
        assert parsed.records is not None
        try:
            found = self._by_entity(parsed).rows(parsed.records, parsed.place)
            if isawaitable(found):
                return self._awaited(codec, parsed, request_id, deadline, found)
            made = self._answered(*self._scored_unnamed(codec, merged(parsed, found), request_id))
        except Exception as error:
            return self._unanswered(codec, request_id, error)
        return made if isinstance(made, Reply) else self._or_unanswered(codec, request_id, made)

    def _by_entity(self, parsed: Parsed) -> Enricher:
        if self._enricher is None:
            raise Refusal(
                400, parsed.where, "this scorer keeps no features by entity; send the feature vector"
            )
        return self._enricher

    async def _enriched_apart(
        self, codec: Codec, parsed: Parsed, request_id: str, deadline: float | None, size: int
    ) -> Reply:
        """A large request by entity: all but the look into the store and the record is done in a thread."""
        assert parsed.records is not None
        assert self._workers is not None
        try:
            enricher, records, place = self._by_entity(parsed), parsed.records, parsed.place
            events = await self._workers.run(
                lambda: enricher.read(records, place), size, self._left(deadline)
            )
            found = enricher.rows(records, place, events)
            rows = merged(parsed, await found if isawaitable(found) else found)
            scored = await self._workers.run(
                lambda: self._scored_unnamed(codec, rows, request_id), size, self._left(deadline)
            )
            made = self._answered(*scored)
            return made if isinstance(made, Reply) else await made
        except Exception as error:
            return self._unanswered(codec, request_id, error)

    def _left(self, deadline: float | None) -> float | None:
        return None if deadline is None else deadline - self._clock()

    def _scored_unnamed(
        self, codec: Codec, parsed: Parsed, request_id: str
    ) -> tuple[Reply, Parsed, Sequence[Answer] | Answers]:
        """Score enriched rows; the monitor reads them, and not the ids in the body."""
        reply, parsed, answers = self._scored(codec, parsed, request_id)
        if self._log_requests:
            seen = monitored(self.scorer.vectorizer, parsed)
            reply = msgspec.structs.replace(reply, monitored=seen)
        return reply, parsed, answers

    def _answered(
        self, reply: Reply, parsed: Parsed, answers: Sequence[Answer] | Answers
    ) -> Reply | Awaitable[Reply]:
        return _remembered(parsed, self._recorded(reply, parsed, answers))

    def _unanswered(self, codec: Codec, request_id: str, error: Exception) -> Reply:
        return msgspec.structs.replace(self._failed(codec, request_id, error), monitored=b"")

    async def _or_unanswered(self, codec: Codec, request_id: str, made: Awaitable[Reply]) -> Reply:
        try:
            return await made
        except Exception as error:
            return self._unanswered(codec, request_id, error)

    async def _awaited(
        self, codec: Codec, parsed: Parsed, request_id: str, deadline: float | None, found: Awaitable[Parsed]
    ) -> Reply:
        try:
            rows = merged(parsed, await found)
            if deadline is not None:
                self._in_time(deadline)
            made = self._answered(*self._scored_unnamed(codec, rows, request_id))
            return made if isinstance(made, Reply) else await made
        except Exception as error:
            return self._unanswered(codec, request_id, error)

    def _sampled(self, request_id: str) -> Explain:
        """By the id's hash, so that a repeated or replayed request gets the same answer."""
        return "always" if zlib.crc32(request_id.encode()) < self._sampled_below else "adverse"

    def feedback(self, body: bytes, header_id: str | None) -> Reply | Awaitable[Reply]:
        """Keep an outcome. Never raises, nor does what it returns where the disk must be waited for."""
        request_id = ""
        try:
            request_id = checked_id(header_id, "Seldon-Puid") if header_id is not None else ""
            if self._apart(body):
                return self._large_feedback(body, request_id)
            kept = self._outcome(body, request_id)
            waiting = feedbacks.keep(self._feedback, kept)
        except Refusal as refusal:
            return _unkept(refusal, request_id)
        if waiting is None:
            return self._kept(kept, body)
        return self._kept_later(waiting, kept, body)

    def _apart(self, body: bytes) -> bool:
        """Whether it is so large that it is read in a thread."""
        return self._workers is not None and len(body) >= self._workers.from_bytes

    def _outcome(self, body: bytes, request_id: str) -> Feedback:
        return feedbacks.decode(body, request_id or None, self.identity.predictor, self._now)

    async def _large_feedback(self, body: bytes, request_id: str) -> Reply:
        try:
            kept = await self.in_thread(lambda: self._outcome(body, request_id), len(body))
            waiting = feedbacks.keep(self._feedback, kept)
        except Refusal as refusal:
            return _unkept(refusal, request_id)
        return self._kept(kept, body) if waiting is None else await self._kept_later(waiting, kept, body)

    async def _kept_later(self, waiting: Awaitable[None], kept: Feedback, body: bytes) -> Reply:
        try:
            await waiting
        except Refusal as refusal:
            return _unkept(refusal, kept.request_id)
        return self._kept(kept, body)

    def _kept(self, kept: Feedback, body: bytes) -> Reply:
        self._payloads.offer(FEEDBACK, kept.request_id, V1.PROTOCOL, body)
        if self._enricher is not None and kept.truth is not None:
            labelling = self._enricher.feedback(kept.request_id, kept.time, kept.truth)
            if labelling is not None:
                # The outcome is kept; whether a feature has read it yet is no part of the answer.
                task = asyncio.ensure_future(labelling)
                self._labelling.add(task)
                task.add_done_callback(self._labelling.discard)
        return Reply(200, msgspec.json.encode({"meta": {"puid": kept.request_id}}), kept.request_id)

    async def events(self, body: bytes, *, lines: bool) -> Reply:
        """Take events and labels from the stream; JSON, or JSON ``lines``. Never raises."""
        try:
            intake = self._intake
            if intake is None:
                raise Refusal(400, "", "this scorer keeps no features by entity")
            if self._apart(body):
                batch = await self.in_thread(lambda: intake.read(body, lines=lines), len(body))
            else:
                batch = intake.read(body, lines=lines)
            return Reply(200, msgspec.json.encode(await intake.take(batch)))
        except Refusal as refusal:
            body = V1.encode_error(refusal.status, str(refusal))
            return Reply(refusal.status, body, retry_after=refusal.retry_after)
        except Exception as error:
            return self._failed(V1, "", error)


def _about(parsed: Parsed, subject: str) -> Parsed:
    """Vectors with whom they are about; records name their own."""
    if parsed.records is not None:
        return parsed
    return msgspec.structs.replace(parsed, subjects=(subject,) * len(parsed.rows))


def _unkept(refusal: Refusal, request_id: str) -> Reply:
    body = V1.encode_error(refusal.status, str(refusal))
    return Reply(refusal.status, body, request_id, refusal.retry_after)


def _remembered(parsed: Parsed, made: Reply | Awaitable[Reply]) -> Reply | Awaitable[Reply]:
    """Once the decision is recorded, its event may enter the histories."""
    if parsed.after is None:
        return made
    if not isinstance(made, Reply):
        return _remembered_later(parsed.after, made)
    added = parsed.after(made.request_id)
    return made if added is None else _then(added, made)


async def _remembered_later(after: After, made: Awaitable[Reply]) -> Reply:
    reply = await made
    added = after(reply.request_id)
    return reply if added is None else await _then(added, reply)


async def _then(added: Awaitable[None], reply: Reply) -> Reply:
    await added
    return reply


def _unexpected(error: Exception) -> SerinusError:
    return SerinusError(
        "SRN-SCORER-005",
        f"an unforeseen {type(error).__name__} while scoring ({error})",
        hint="This is a fault of serinus; please report it with the request that caused it.",
    )
