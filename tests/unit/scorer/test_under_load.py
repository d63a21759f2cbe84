"""Batches in their thread, deadlines against what they will take, and a sample of reasons."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable
from typing import Any, cast

import pytest

from serving.scorer.refusal import Refusal
from serving.scorer.service import V1, Reply
from serving.scorer.warm import warm
from serving.scorer.workers import Workers
from tests.unit.scorer.support import BAD, GOOD, rig, v1

MANY = json.dumps(v1(*[GOOD, BAD] * 500)).encode()
ONE = json.dumps(v1(GOOD)).encode()
APPROVED = [200.0, 12, "chip", 3.0, 0.01]  # and yet with something that speaks against it
LABELS = 'model="small",predictor="canary"'


def test_a_single_row_is_answered_at_once_and_a_batch_is_awaited() -> None:
    made = rig()

    async def story() -> None:
        assert isinstance(made.service.predict(V1, ONE, None), Reply)
        waiting = made.service.predict(V1, MANY, "batch")
        assert not isinstance(waiting, Reply)
        between = made.service.predict(V1, ONE, "between")
        assert isinstance(between, Reply)
        assert between.status == 200
        reply = await waiting
        assert (reply.status, reply.request_id) == (200, "batch")
        assert len(json.loads(reply.body)["data"]["ndarray"]) == 1000

    asyncio.run(story())
    assert made.service.recorder.pending == 1002
    assert made.metric(f'serinus_requests_total{{code="200",{LABELS}}}') == 3
    assert made.metric(f"serinus_score_count{{{LABELS}}}") == 1002
    assert made.metric(f'serinus_decisions_total{{decision="decline",{LABELS}}}') == 500
    assert made.metric(f"serinus_requests_in_flight{{{LABELS}}}") == 0


def test_a_refused_batch_names_its_field_and_is_counted() -> None:
    made = rig()
    answer = made.predict(v1(*[GOOD] * 700, ["x", *GOOD[1:]]))
    assert answer.status == 400
    assert answer.json["status"]["info"].startswith("data.ndarray[700].amount: ")
    assert made.metric(f'serinus_requests_total{{code="400",{LABELS}}}') == 1


class Blocked:
    """A worker's pool held up until told."""

    def __init__(self, **limits: Any) -> None:
        self.now = 0.0
        self.workers = Workers(clock=lambda: self.now, **limits)
        self.gate = threading.Event()

    def wait(self) -> str:
        self.gate.wait(60)
        return "done"


def test_batches_beyond_the_queue_are_refused_with_advice_and_the_others_are_answered() -> None:
    async def story() -> None:
        blocked = Blocked(threads=1, queue=2)
        running = [asyncio.create_task(blocked.workers.run(blocked.wait, 100, None)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="too many batches") as caught:
            await blocked.workers.run(blocked.wait, 100, None)
        assert (caught.value.status, caught.value.retry_after, caught.value.shed) == (429, 1, "queue")
        blocked.gate.set()
        assert await asyncio.gather(*running) == ["done"] * 3
        assert await blocked.workers.run(blocked.wait, 100, None) == "done"

    asyncio.run(story())


def test_a_batch_is_refused_at_once_where_those_before_it_will_take_too_long() -> None:
    async def story() -> None:
        blocked = Blocked(threads=1, queue=10)

        def a_second() -> None:
            blocked.now += 1.0

        assert blocked.workers.predicted(1000) == 0.0  # nothing is known yet
        await blocked.workers.run(a_second, 1000, 0.5)
        assert blocked.workers.predicted(1000) == 1.0
        await blocked.workers.run(a_second, 1000, 1.5)
        with pytest.raises(Refusal) as caught:
            await blocked.workers.run(a_second, 1000, 0.9)
        assert (caught.value.status, caught.value.shed) == (503, "deadline")
        running = asyncio.create_task(blocked.workers.run(blocked.wait, 3000, None))
        await asyncio.sleep(0)
        assert blocked.workers.predicted(1000) == 4.0
        blocked.gate.set()
        await running

    asyncio.run(story())


def test_a_batch_whose_deadline_passes_while_it_waits_is_not_scored() -> None:
    now = [100.0]
    made = rig(clock=lambda: now[0])

    async def story() -> None:
        waiting = made.service.predict(V1, MANY, None, deadline=100.5)
        now[0] = 100.6
        reply = await cast("Awaitable[Reply]", waiting)
        assert reply.status == 503

    asyncio.run(story())
    assert made.service.recorder.pending == 0
    assert made.metric(f'serinus_requests_shed_total{{{LABELS},reason="deadline"}}') == 1


def test_sampled_explains_adverse_answers_always_and_the_others_by_their_id() -> None:
    made = rig(explain="sampled", sample=0.3)

    def reasons(row: list[Any], puid: str) -> int:
        answer = made.predict(v1(row), seldon_puid=puid)
        return len(answer.json["meta"]["tags"]["decisions"][0]["reasons"])

    approved = rig(explain="always").predict(v1(APPROVED)).json["meta"]["tags"]["decisions"][0]["reasons"]
    assert approved, "an approved answer has reasons to give"
    ids = [f"request-{i}" for i in range(300)]
    first = [reasons(APPROVED, puid) for puid in ids]
    assert first == [reasons(APPROVED, puid) for puid in ids]
    assert 60 < sum(map(bool, first)) < 120
    assert all(reasons(BAD, puid) for puid in ids[:20])


@pytest.mark.parametrize(("sample", "explained"), [(0.0, 0), (1.0, 50)])
def test_a_sample_of_none_or_all_is_exactly_that(sample: float, explained: int) -> None:
    made = rig(explain="sampled", sample=sample)
    answers = [made.predict(v1(APPROVED), seldon_puid=f"r{i}").json for i in range(50)]
    assert sum(bool(a["meta"]["tags"]["decisions"][0]["reasons"]) for a in answers) == explained


def test_warming_up_takes_the_golden_rows_of_any_model_through_both_protocols() -> None:
    made = rig()
    warm(made.service.scorer, made.service.identity, times=16)
    assert made.service.recorder.pending == 0
    assert made.metric(f"serinus_score_count{{{LABELS}}}") == 0
