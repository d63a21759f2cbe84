"""What is written behind the answers: decisions, payload events, outcomes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from serinus.errors import SerinusError
from serving.scorer.feedback import FeedbackFile
from serving.scorer.identity import Identity
from serving.scorer.payloads import REQUEST, PayloadPoster
from tests.unit.scorer.support import GOOD, rig, v1

IDENTITY = Identity(
    model="small", version=1, digest="sha256:0", predictor="canary", deployment="shop", namespace="ns"
)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)


class Monitor:
    """A CloudEvents receiver: keeps what it gets, answers with ``status``."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0
        self.release = asyncio.Event()
        self.release.set()
        self.port = 0
        self.close_each = False
        self.breaks_on = ""

    async def __aenter__(self) -> Monitor:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:] if line)}
                self.got.append((headers, await reader.readexactly(int(headers["content-length"]))))
                await self.release.wait()
                if headers["ce-requestid"] == self.breaks_on:
                    return writer.close()
                closing = "Connection: close\r\n" if self.close_each else ""
                writer.write(f"HTTP/1.1 {self.status} X\r\n{closing}Content-Length: 2\r\n\r\nok".encode())
                if self.close_each:
                    return writer.close()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def posting(
    story: Callable[[PayloadPoster, Monitor, list[int]], Awaitable[None]], status: int = 200, **limits: Any
) -> None:
    async def run() -> None:
        dropped: list[int] = []
        async with Monitor(status) as monitor:
            url = f"http://127.0.0.1:{monitor.port}/events?x=1"
            poster = PayloadPoster(
                url, IDENTITY, source="http://me/", dropped=dropped.append, retry=0.002, **limits
            )
            task = asyncio.create_task(poster.run())
            try:
                await story(poster, monitor, dropped)
            finally:
                task.cancel()

    asyncio.run(run())


def test_payloads_arrive_as_seldons_executor_sends_them_over_one_connection() -> None:
    async def story(poster: PayloadPoster, monitor: Monitor, dropped: list[int]) -> None:
        for i in range(20):
            poster.offer(REQUEST, f"r{i}", "seldon", b'{"n":%d}' % i)
        await poster.flush(60)
        headers, body = monitor.got[3]
        assert body == b'{"n":3}'
        assert {
            k: v for k, v in headers.items() if k.startswith("ce-") and k not in ("ce-id", "ce-time")
        } == {
            "ce-specversion": "1.0",
            "ce-source": "http://me/",
            "ce-type": "io.seldon.serving.inference.request",
            "ce-requestid": "r3",
            "ce-modelid": "small",
            "ce-inferenceservicename": "shop",
            "ce-namespace": "ns",
            "ce-endpoint": "canary",
            "ce-protocol": "seldon",
        }
        assert len({headers["ce-id"] for headers, _ in monitor.got}) == 20
        assert (monitor.connections, dropped) == (1, [])

    posting(story)


def test_a_full_queue_drops_the_oldest_and_counts_them() -> None:
    async def story(poster: PayloadPoster, monitor: Monitor, dropped: list[int]) -> None:
        monitor.release.clear()
        poster.offer(REQUEST, "first", "seldon", b"{}")
        await until(lambda: len(monitor.got) == 1)
        for i in range(5):
            poster.offer(REQUEST, f"r{i}", "seldon", b"{}")
        assert sum(dropped) == 2
        monitor.release.set()
        await poster.flush(60)
        assert [headers["ce-requestid"] for headers, _ in monitor.got] == ["first", "r2", "r3", "r4"]

    posting(story, limit=3)


def test_the_queue_is_bounded_in_bytes_too() -> None:
    async def story(poster: PayloadPoster, monitor: Monitor, dropped: list[int]) -> None:
        poster.offer(REQUEST, "large", "seldon", b"x" * 1001)
        assert dropped == [1]
        await poster.flush(60)
        assert monitor.got == []

    posting(story, limit_bytes=1000)


def test_a_refused_event_is_dropped_and_counted() -> None:
    async def story(poster: PayloadPoster, monitor: Monitor, dropped: list[int]) -> None:
        poster.offer(REQUEST, "r", "seldon", b"{}")
        await poster.flush(60)
        assert (len(monitor.got), dropped) == (1, [1])

    posting(story, status=500)


def test_events_wait_for_a_monitor_that_is_away_and_arrive_when_it_is_back() -> None:
    async def story(poster: PayloadPoster, monitor: Monitor, dropped: list[int]) -> None:
        poster.offer(REQUEST, "before", "seldon", b"{}")
        await poster.flush(60)
        poster._disconnect()
        await monitor.__aexit__()
        poster.offer(REQUEST, "while away", "seldon", b"{}")
        await until(lambda: not poster._reached and poster._sending == 0)  # it tried, and nobody was there
        async with monitor:
            await poster.flush(60)
        assert [headers["ce-requestid"] for headers, _ in monitor.got] == ["before", "while away"]
        assert dropped == []

    posting(story)


def test_a_monitor_that_closes_after_each_answer_still_gets_every_event_once() -> None:
    async def story(poster: PayloadPoster, monitor: Monitor, dropped: list[int]) -> None:
        monitor.close_each = True
        for i in range(6):
            poster.offer(REQUEST, f"r{i}", "seldon", b"{}")
        await poster.flush(60)
        assert [headers["ce-requestid"] for headers, _ in monitor.got] == [f"r{i}" for i in range(6)]
        assert (monitor.connections, dropped) == (6, [])

    posting(story)


def test_an_event_that_breaks_the_monitor_is_given_up_and_those_behind_it_arrive() -> None:
    async def story(poster: PayloadPoster, monitor: Monitor, dropped: list[int]) -> None:
        monitor.breaks_on = "bad"
        for puid in ("good", "bad", "after"):
            poster.offer(REQUEST, puid, "seldon", b"{}")
        await poster.flush(60)
        kept = [headers["ce-requestid"] for headers, _ in monitor.got]
        assert (kept[0], kept[-1], kept.count("bad"), dropped) == ("good", "after", 3, [1])

    posting(story)


def test_a_flush_gives_up_in_time_and_counts_what_is_left() -> None:
    async def story(poster: PayloadPoster, monitor: Monitor, dropped: list[int]) -> None:
        monitor.release.clear()
        for i in range(4):
            poster.offer(REQUEST, f"r{i}", "seldon", b"{}")
        await until(lambda: len(monitor.got) == 1)
        poster.offer(REQUEST, "behind", "seldon", b"{}")
        await poster.flush(0.02)
        assert sum(dropped) == 5

    posting(story)


@pytest.mark.parametrize("url", ["ftp://x/", "x:9", "http://", "http://h:port/", "http://caf\xe9/"])
def test_a_payload_url_that_cannot_be_posted_to_is_refused(url: str) -> None:
    with pytest.raises(SerinusError, match="SRN-SCORER-004"):
        PayloadPoster(url, IDENTITY, source="http://me/", dropped=lambda _: None)


def outcome(**parts: Any) -> bytes:
    return json.dumps(parts).encode()


@pytest.mark.parametrize("path", ["/api/v1.0/feedback", "/send-feedback"])
def test_an_outcome_is_kept_by_its_request_id(path: str) -> None:
    made = rig()
    body = outcome(response={"meta": {"puid": "r1"}}, truth={"data": {"ndarray": [[1]]}}, reward=0)
    answer = made.call("POST", path, body)
    assert (answer.status, answer.json) == (200, {"meta": {"puid": "r1"}})
    kept = made.feedback.kept[0]
    assert (kept.request_id, kept.truth, kept.reward, kept.predictor) == ("r1", [[1]], 0.0, "canary")
    assert [event[:2] for event in made.payloads.kept] == [("io.seldon.serving.feedback", "r1")]


@pytest.mark.parametrize("part", ["response", "request"])
def test_the_outcomes_own_id_counts_before_that_of_the_call_which_the_executor_makes_up(part: str) -> None:
    made = rig()
    body = outcome(**{part: {"meta": {"puid": "the-decision"}}}, reward=1)
    answer = made.call("POST", "/send-feedback", body, seldon_puid="made-up")
    assert answer.json == {"meta": {"puid": "the-decision"}}
    assert [kept.request_id for kept in made.feedback.kept] == ["the-decision"]


@pytest.mark.parametrize(
    ("body", "start"),
    [
        (b"x", "the body is not JSON"),
        (outcome(truth={"data": {"ndarray": [1]}}), "response.meta.puid: is missing"),
        (outcome(response={"meta": {"puid": "r"}}), "truth: is missing"),
        (outcome(response={"meta": {"puid": "\n"}}, reward=1), "response.meta.puid: "),
        (outcome(response={"meta": {"puid": "r"}}, reward="good"), "reward: Expected"),
    ],
)
def test_an_outcome_that_cannot_be_joined_is_refused(body: bytes, start: str) -> None:
    made = rig()
    answer = made.call("POST", "/send-feedback", body)
    assert answer.status == 400
    assert answer.json["status"]["info"].startswith(start)
    assert made.feedback.kept == []


def test_the_feedback_file_holds_one_json_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "feedback.jsonl"
    file = FeedbackFile(path)
    made = rig()
    made.service._feedback = file
    for puid in ("a", "b"):
        made.call("POST", "/send-feedback", outcome(reward=1), seldon_puid=puid)
    file.close()
    assert [json.loads(line)["request_id"] for line in path.read_text().splitlines()] == ["a", "b"]


def test_a_feedback_disk_that_is_full_is_said_so_and_nothing_is_acknowledged() -> None:
    made = rig()
    made.service._feedback = FeedbackFile(Path("/dev/full"))
    answer = made.call("POST", "/send-feedback", outcome(reward=1), seldon_puid="a")
    assert answer.status == 503
    assert "No space left" in answer.json["status"]["info"]
    assert made.predict(v1(GOOD)).status == 200
