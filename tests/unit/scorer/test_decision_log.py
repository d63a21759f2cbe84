"""Decisions on their way to the disk: in order, none lost that was acknowledged, none given that was not kept."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.errors import SerinusError
from serinus.events import Decision, DecisionEncoder, DecisionEvent, DecisionLog, read_decisions
from serinus.model import Answer, ReasonCode
from serinus.model.answers import Answers
from serving.scorer.decisions import NoRecorder, Recorder
from serving.scorer.identity import Identity
from serving.scorer.sinks import MemorySink
from tests.unit.scorer.support import GOOD, NOW, rig, v1, v2

IDENTITY = Identity(model="small", version=1, digest="sha256:0", predictor="canary")
ANSWER = Answer(score=0.1, probability=0.2, decision="approve")
ROW = np.array([[1.0, np.nan]])
FULL = SerinusError("SRN-AUDIT-002", "the log cannot be written", hint="Free space.")


class Disk(MemorySink):
    """Memory that refuses while ``broken``, and writes only when ``go`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.go = threading.Event()
        self.go.set()
        self.writes: list[int] = []
        self.tries = 0

    def write(
        self, lines: Sequence[bytes], seq: int, head: str, *, after: int | None = None, durable: bool = True
    ) -> None:
        self.tries += 1
        assert self.go.wait(60)
        self.probe()
        before = self.seq
        super().write(lines, seq, head, after=after)
        self.writes.append(seq - before)

    def probe(self) -> None:
        if self.broken:
            raise FULL


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)


def recorder(sink: MemorySink, **options: object) -> Recorder:
    return Recorder(sink, IDENTITY, now=lambda: NOW, interval=0.001, **options)  # pyright: ignore[reportArgumentType]


# --- what is written ---------------------------------------------------------

numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    event_id=st.text(min_size=1),
    at=st.floats(0, 4e9),
    cells=st.lists(numbers | st.just(float("nan")), max_size=30),
    score=numbers,
    texts=st.lists(st.text(), max_size=4),
)
def test_an_event_is_written_as_its_struct_would_be(
    event_id: str, at: float, cells: list[float], score: float, texts: list[str]
) -> None:
    reasons = tuple(ReasonCode("R01", text, text, 0.5) for text in texts)
    encode = DecisionEncoder(model='a"b', version=3, digest="sha256:0", predictor="canary")
    body = encode(event_id, at, score, 0.25, "review", reasons, cells)
    event = msgspec.json.decode(body, type=DecisionEvent)
    assert event == DecisionEvent(
        id=event_id,
        source='/models/a"b/predictors/canary',
        time=event.time,
        data=Decision(
            model='a"b',
            version=3,
            digest="sha256:0",
            predictor="canary",
            score=score,
            probability=0.25,
            decision="review",
            reasons=reasons,
            features=tuple(None if cell != cell else cell for cell in cells),
        ),
    )
    assert body == msgspec.json.encode(event)


def test_the_time_is_rfc_3339_in_utc_to_the_microsecond() -> None:
    encode = DecisionEncoder(model="m", version=1, digest="d", predictor="p")
    for at, written in ((0.0, "1970-01-01T00:00:00.000000Z"), (1.5e9 + 0.25, "2017-07-14T02:40:00.250000Z")):
        assert msgspec.json.decode(encode("x", at, 0, 0, "approve", (), []))["time"] == written


def columnar(count: int) -> Answers:
    ramp = np.linspace(0, 1, count)
    return Answers(score=ramp, probability=ramp / 2, decision=["approve"] * count, reasons=[()] * count)


@pytest.mark.parametrize("as_columns", [True, False])
def test_the_rows_of_a_batch_are_kept_one_by_one_in_order(as_columns: bool) -> None:
    sink = MemorySink()
    made = recorder(sink)
    answers = columnar(100)
    rows = np.arange(200.0).reshape(100, 2)
    made.record("b", rows, answers if as_columns else list(answers))
    assert made.pending == 100
    assert made.write() == 100
    assert made.pending == 0
    assert [event.id for event in sink.events] == [f"b.{i}" for i in range(100)]
    assert [event.data.features for event in sink.events] == [tuple(row) for row in rows.tolist()]
    assert [event.data.score for event in sink.events] == answers.score.tolist()
    assert [event.data.probability for event in sink.events] == answers.probability.tolist()


def test_decisions_reach_the_file_in_order_and_a_next_life_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for life in range(2):
        with DecisionLog(path, rotate_bytes=100_000) as log:
            made = Recorder(log, IDENTITY, now=lambda: NOW)
            for i in range(1000):
                made.record(f"r{1000 * life + i}", ROW, [ANSWER])
            assert made.write() == 1000
    assert [event.id for event in read_decisions(path)] == [f"r{i}" for i in range(2000)]


# --- relaxed -----------------------------------------------------------------


def test_relaxed_never_waits_and_is_written_behind() -> None:
    sink = Disk()
    made = recorder(sink)

    async def story() -> None:
        task = asyncio.create_task(made.run())
        await asyncio.sleep(0)
        for i in range(500):
            assert made.record(f"r{i}", ROW, [ANSWER]) is None
            if i % 50 == 0:
                await asyncio.sleep(0)
        await until(lambda: made.pending == 0)
        task.cancel()

    asyncio.run(story())
    assert [event.id for event in sink.events] == [f"r{i}" for i in range(500)]


def test_a_failed_write_loses_nothing_is_reported_once_and_catches_up() -> None:
    sink, reports = Disk(), list[SerinusError]()
    sink.broken = True
    made = recorder(sink, limit=5, report=reports.append)

    async def story() -> None:
        task = asyncio.create_task(made.run())
        made.record("a", ROW, [ANSWER])
        await until(lambda: sink.tries > 2)
        assert not made.full
        made.record("b", np.vstack([ROW, ROW]), [ANSWER, ANSWER])
        made.record("c", np.vstack([ROW, ROW]), columnar(2))
        assert made.full
        sink.broken = False
        await until(lambda: made.pending == 0)
        task.cancel()

    asyncio.run(story())
    assert [event.id for event in sink.events] == ["a", "b.0", "b.1", "c.0", "c.1"]
    assert reports == [FULL]
    assert not made.full


@pytest.mark.parametrize(
    ("waiting", "rows", "room"), [(0, 5, True), (0, 6, False), (3, 2, True), (3, 3, False)]
)
def test_batches_may_fill_half_of_what_may_wait_and_leave_the_rest_to_single_rows(
    waiting: int, rows: int, room: bool
) -> None:
    made = recorder(Disk(), limit=10)
    for i in range(waiting):
        made.record(f"r{i}", ROW, [ANSWER])
    assert made.largest == 5
    assert made.room(rows) is room
    assert not made.full


def test_what_waits_at_the_end_is_written_even_behind_a_write_in_flight() -> None:
    sink = Disk()
    made = recorder(sink)

    async def story() -> None:
        task = asyncio.create_task(made.run())
        sink.go.clear()
        made.record("a", ROW, [ANSWER])
        await until(lambda: sink.tries == 1)
        task.cancel()
        made.record("b", ROW, [ANSWER])
        ending = asyncio.create_task(asyncio.to_thread(made.write))
        sink.go.set()
        await ending

    asyncio.run(story())
    assert [event.id for event in sink.events] == ["a", "b"]
    assert made.pending == 0


def test_what_cannot_be_written_at_the_end_is_counted() -> None:
    sink = Disk()
    sink.broken = True
    made = recorder(sink)
    made.record("a", ROW, [ANSWER])
    with pytest.raises(SerinusError, match="SRN-AUDIT-002"):
        made.write()
    assert made.pending == 1


def test_a_sink_with_a_fault_stops_scoring_instead_of_going_on_unrecorded() -> None:
    reports = list[SerinusError]()
    sink = Disk()
    sink.seq = 7
    made = recorder(sink, limit=1, report=reports.append)
    sink.seq = 0

    async def story() -> None:
        task = asyncio.create_task(made.run())
        made.record("a", ROW, [ANSWER])
        await until(lambda: bool(reports))
        task.cancel()

    asyncio.run(story())
    assert (reports[0].code, made.full) == ("SRN-SCORER-003", True)


def test_a_write_does_not_wait_for_the_sync_before_it_and_a_failed_sync_has_it_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longer a sync takes the less a killed process should lose."""
    path, reports = tmp_path / "log.jsonl", list[SerinusError]()
    log = DecisionLog(path)
    made = Recorder(log, IDENTITY, now=lambda: NOW, interval=0.001, report=reports.append)
    go, real, faults = threading.Event(), os.fsync, [OSError(errno.EIO, "Input/output error")]

    def slow(descriptor: int) -> None:
        assert go.wait(60)
        if faults:
            raise faults.pop()
        real(descriptor)

    async def story() -> None:
        task = asyncio.create_task(made.run())
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", slow)
            for i in range(3):
                made.record(f"r{i}", ROW, [ANSWER])
                await until(lambda i=i: log.seq == i + 1)
            assert (made.pending, log.safe) == (3, 0)
            go.set()
            await until(lambda: made.pending == 0)
        task.cancel()

    asyncio.run(story())
    assert [error.code for error in reports] == ["SRN-AUDIT-002"]
    assert [event.id for event in read_decisions(path)] == ["r0", "r1", "r2"]
    log.close()


# --- strict ------------------------------------------------------------------


def test_strict_completes_only_when_stored_and_one_sync_serves_all_who_wait() -> None:
    sink = Disk()
    made = recorder(sink, durability="strict")

    async def story() -> None:
        sink.go.clear()
        first = made.record("a", ROW, [ANSWER])
        assert first is not None
        await until(lambda: sink.tries == 1)
        rest = [made.record(f"r{i}", ROW, [ANSWER]) for i in range(20)]
        for _ in range(100):
            await asyncio.sleep(0)
        assert not first.done()
        assert made.pending == 21
        sink.go.set()
        await asyncio.gather(first, *(future for future in rest if future is not None))

    asyncio.run(story())
    assert sink.writes == [1, 20]
    assert [event.id for event in sink.events] == ["a", *(f"r{i}" for i in range(20))]
    assert made.pending == 0


def test_strict_refuses_what_it_cannot_store_forgets_it_and_comes_back_by_itself() -> None:
    sink, reports = Disk(), list[SerinusError]()
    made = recorder(sink, durability="strict", report=reports.append)

    async def story() -> None:
        task = asyncio.create_task(made.run())
        for _ in range(2):
            sink.broken = True
            futures = [made.record("lost", ROW, [ANSWER]) for _ in range(3)]
            for future in futures:
                assert future is not None
                with pytest.raises(SerinusError, match="SRN-AUDIT-002"):
                    await future
            assert made.full
            assert made.pending == 0
            sink.broken = False
            await until(lambda: not made.full)
            kept = made.record("kept", ROW, [ANSWER])
            assert kept is not None
            await kept
        task.cancel()

    asyncio.run(story())
    assert [event.id for event in sink.events] == ["kept", "kept"]
    assert reports == [FULL, FULL]


def test_a_caller_who_leaves_does_not_take_the_others_along() -> None:
    sink = Disk()
    made = recorder(sink, durability="strict")

    async def story() -> None:
        first, second = made.record("a", ROW, [ANSWER]), made.record("b", ROW, [ANSWER])
        assert first is not None
        assert second is not None
        first.cancel()
        await second

    asyncio.run(story())
    assert [event.id for event in sink.events] == ["a", "b"]


def test_without_a_log_nothing_is_kept_and_nothing_waits() -> None:
    made = NoRecorder()
    assert made.room(100_000)
    made.record("a", ROW, [ANSWER])
    assert (made.full, made.pending, made.write()) == (False, 0, 0)


@pytest.mark.parametrize("path", ["/predict", "/v2/models/small/infer"])
def test_no_answer_leaves_that_is_not_stored_and_none_is_counted_as_given(path: str) -> None:
    made, sink = rig(), Disk()
    made.service.recorder = recorder(sink, durability="strict")
    document = v2(GOOD) if path.startswith("/v2") else v1(GOOD)
    answer = made.predict(document, path, seldon_puid="kept")
    assert (answer.status, sink.writes) == (200, [1])
    sink.broken = True
    answer = made.predict(document, path, seldon_puid="lost")
    assert answer.status == 503
    assert b"SRN-AUDIT-002" in answer.body
    assert b"probability" not in answer.body
    assert made.predict(document, path).status == 503
    assert sink.tries == 2  # the third was refused before it was scored
    assert made.metric('serinus_decisions_total{decision="approve",model="small",predictor="canary"}') == 1
    assert [event.id for event in sink.events] == ["kept"]
    assert made.call("GET", "/v2/health/ready").status == 503
