"""Large requests, batches of events and outcomes: worked on beside the loop, and answered as small ones are."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from serinus.features.online import MemoryStore
from serving.scorer import feedback as feedbacks
from serving.scorer.entities import StoreEnricher
from serving.scorer.intake import Intake
from serving.scorer.service import Codec, Reply
from serving.scorer.workers import Workers
from tests.support.entities import cards, payment, payments
from tests.unit.scorer_entities.support import V1, V2, by_entity, by_tensors, rig

MANY = payments(400)
FORMS = pytest.mark.parametrize(("codec", "form"), [(V1, by_entity), (V2, by_tensors)])


@FORMS
def test_a_large_request_answers_as_many_of_one(codec: Codec, form: Callable[..., Any]) -> None:
    made, plain = rig(workers=Workers()), rig()
    assert len(json.dumps(form(*MANY))) > 16 << 10
    reply = made.predict(form(*MANY), codec)
    assert reply.status == 200, reply.body
    asked = [plain.scores(record)[0] for record in MANY]
    assert made.vectors() == plain.vectors()
    answer = json.loads(reply.body)
    scored = [row[0] for row in answer["data"]["ndarray"]] if codec is V1 else answer["outputs"][0]["data"]
    assert scored == asked
    assert made.metric("serinus_events_total", outcome="added") == len(MANY)


def spied(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[str]:
    """The names of the threads that call it from now on."""
    real, threads = getattr(owner, name), []

    def spy(*arguments: Any, **named: Any) -> Any:
        threads.append(threading.current_thread().name)
        return real(*arguments, **named)

    monkeypatch.setattr(owner, name, spy)
    return threads


def outcome(rows: int) -> bytes:
    truth = {"data": {"ndarray": [[1]] * rows}}
    return json.dumps({"response": {"meta": {"puid": "a"}}, "truth": truth}).encode()


def test_reading_scoring_events_and_outcomes_leave_the_loop_where_they_are_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = rig(workers=Workers())
    read = spied(monkeypatch, StoreEnricher, "read")
    many = spied(monkeypatch, made.service.scorer, "many")
    events = spied(monkeypatch, Intake, "read")
    decode = spied(monkeypatch, feedbacks, "decode")

    async def story() -> None:
        for records in (MANY, MANY[-2:]):
            body = json.dumps(by_entity(*records)).encode()
            reply = made.service.predict(V1, body, None)
            assert (reply if isinstance(reply, Reply) else await reply).status == 200
            assert (
                await made.service.events(json.dumps({"records": records}).encode(), lines=False)
            ).status == 200
        for rows in (6000, 1):
            kept = made.service.feedback(outcome(rows), None)
            assert (kept if isinstance(kept, Reply) else await kept).status == 200

    asyncio.run(story())
    for threads in (read, many, events, decode):
        assert [name.startswith("batch") for name in threads] == [True, False]


@FORMS
def test_of_a_large_request_the_monitor_reads_no_ids_and_of_a_refused_one_nothing(
    codec: Codec, form: Callable[..., Any]
) -> None:
    made = rig(workers=Workers())
    named = [{**record, "card": "somebody"} for record in MANY]
    assert made.predict(form(*named), codec).status == 200
    assert b"somebody" not in b"".join(body for *_, body in made.payloads.kept)
    assert len(made.payloads.kept) == 2
    made.payloads.kept.clear()
    made.vectors()
    before = len(made.sink.events)
    refused = made.predict(form(*named[:-1], {**named[-1], "amount": -1.0}), codec)
    assert (refused.status, b"amount" in refused.body) == (400, True)
    assert made.payloads.kept == []
    made.vectors()
    assert len(made.sink.events) == before


def test_a_large_request_past_its_deadline_is_neither_scored_nor_remembered() -> None:
    made = rig(store=(store := MemoryStore(cards())), workers=Workers())
    reply = asyncio.run(made.predicted(by_entity(*MANY), deadline=-1.0))
    assert reply.status == 503
    assert made.vectors() == []
    assert len(store.stream) == 0


def test_outcomes_of_a_large_request_reach_their_events() -> None:
    made = rig(workers=Workers())
    records = [payment(n, 0, shop=f"s{n}") for n in range(300)]
    made.scores(*records, request_id="large")

    async def story() -> None:
        body = {"response": {"meta": {"puid": "large"}}, "truth": {"data": {"ndarray": [[1]] * 300}}}
        reply = made.service.feedback(json.dumps(body).encode(), None)
        assert (reply if isinstance(reply, Reply) else await reply).status == 200
        await asyncio.gather(*made.service._labelling)  # pyright: ignore[reportPrivateUsage]

    asyncio.run(story())
    assert made.metric("serinus_events_total", outcome="label") == 300


@pytest.mark.parametrize(
    ("truth", "says"),
    [
        ([[1]] * 20_001, "truth.data: holds 20,001 rows; an outcome has 20,000 at most"),
        ([[0], ["x" * 201]], "truth.data[1]: has 201 characters; an outcome has 200 at most"),
        ([[10**200]], "truth.data[0]: has 201 characters; an outcome has 200 at most"),
        ([[1] * 101], "truth.data[0]: holds 101 values; a row has 100 at most"),
    ],
)
def test_an_outcome_is_bounded(truth: list[list[Any]], says: str) -> None:
    made = rig(workers=Workers())

    async def story() -> Reply:
        body = {"response": {"meta": {"puid": "a"}}, "truth": {"data": {"ndarray": truth}}}
        reply = made.service.feedback(json.dumps(body).encode(), None)
        return reply if isinstance(reply, Reply) else await reply

    reply = asyncio.run(story())
    assert (reply.status, json.loads(reply.body)["status"]["info"]) == (400, says)
