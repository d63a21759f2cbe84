"""HTTP/1.1 on one connection: framing, order, limits, slow clients, and the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest

from serving.scorer.listener import Limits, Listener
from serving.scorer.request import Request
from serving.scorer.service import Reply
from tests.unit.scorer.support import BAD, GOOD, Answered, Wire, rig, v1

LIMITS = Limits(body=200, head=2000, url=100, headers=10, connections=2, request=10, idle=75, write=30)


class Echo:
    """Answers with method, URL and body; a body "later" waits until told."""

    stamp = b"x-served: yes\r\n"

    def __init__(self) -> None:
        self.release = asyncio.Event()

    def answer(self, request: Request) -> Reply | Awaitable[Reply]:
        text = b"%b %b %b" % (request.method, request.url, request.body)
        return self._later(text) if request.body == b"later" else Reply(200, text, "id")

    async def _later(self, text: bytes) -> Reply:
        await self.release.wait()
        return Reply(200, text, "id")

    def refuse(self, url: bytes, status: int, message: str) -> Reply:
        return Reply(status, message.encode(), "id")


class Talk:
    """One connection to an ``Echo``, without a socket."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.app = Echo()
        self.listener = Listener(self.app, limits)
        self.connection = self.listener.connect()
        self.wire = Wire()
        self.connection.connection_made(self.wire)

    def send(self, *segments: bytes) -> list[Answered]:
        for segment in segments:
            self.connection.data_received(segment)
        return self.wire.answers()

    def tick(self, seconds: int) -> None:
        for _ in range(seconds):
            self.listener._sweep()

    @property
    def closed(self) -> bool:
        return not {"close", "abort", "eof"}.isdisjoint(self.wire.asked)


def post(body: bytes = b"x", *lines: str, version: str = "1.1") -> bytes:
    head = "\r\n".join([f"POST /p HTTP/{version}", "Host: s", f"Content-Length: {len(body)}", *lines])
    return head.encode("latin-1") + b"\r\n\r\n" + body


def talk(story: Any) -> None:
    async def run() -> None:
        made = Talk()
        try:
            outcome = story(made)
            if asyncio.iscoroutine(outcome):
                await outcome
        finally:
            made.listener.abort()

    asyncio.run(run())


def test_a_connection_is_kept_and_every_answer_is_stamped_and_dated() -> None:
    def story(t: Talk) -> None:
        first, second = t.send(post(b"a"), post(b"b"))
        assert [first.body, second.body] == [b"POST /p a", b"POST /p b"]
        assert (first.headers["x-served"], first.headers["seldon-puid"]) == ("yes", "id")
        assert first.headers["date"].endswith("GMT")
        assert not t.closed

    talk(story)


@pytest.mark.parametrize("size", [1, 2, 7, 50])
def test_a_request_in_any_pieces_is_the_same_request(size: int) -> None:
    message = post(b"some body", "Seldon-Puid: x") + b"GET /g HTTP/1.1\r\nHost: s\r\n\r\n"

    def story(t: Talk) -> None:
        answers = t.send(*(message[i : i + size] for i in range(0, len(message), size)))
        assert [a.body for a in answers] == [b"POST /p some body", b"GET /g "]

    talk(story)


def test_an_offer_of_another_protocol_is_passed_over_and_the_body_behind_it_is_read() -> None:
    """Java's HttpClient offers HTTP/2 with its first request."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAE\r\n\r\n"
    head = b"POST /p HTTP/1.1\r\nHost: s\r\n"

    def story(t: Talk) -> None:
        t.send(head + b"Content-Length: 4\r\n" + offer + b"bo", b"dy" + post(b"next"))
        t.send(head + b"Transfer-Encoding: chunked\r\n" + offer, b"3\r\nabc\r\n0\r\n\r\n")
        answers = t.send(b"GET /g HTTP/1.1\r\n" + offer, post(b"last"))
        assert [a.body.split(b" ", 1)[1] for a in answers] == [
            b"/p body",
            b"/p next",
            b"/p abc",
            b"/g ",
            b"/p last",
        ]

    talk(story)


def test_many_offers_in_one_segment_are_all_answered() -> None:
    offer = b"GET /g HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    talk(lambda t: None if len(t.send(offer * 2000)) == 2000 else pytest.fail("not all"))


def test_a_chunked_body_is_put_together_and_its_trailers_are_passed_over() -> None:
    def story(t: Talk) -> None:
        head = b"POST /p HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n"
        answers = t.send(head + b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\nSeldon-Puid: late\r\n\r\n", post(b"next"))
        assert [a.body for a in answers] == [b"POST /p abcde", b"POST /p next"]

    talk(story)


def test_pipelined_requests_are_answered_in_order_also_where_one_must_wait() -> None:
    async def story(t: Talk) -> None:
        t.send(post(b"1") + post(b"later") + post(b"3") + post(b"later") + post(b"5"))
        assert [a.body for a in t.wire.answers()] == [b"POST /p 1"]
        assert t.wire.asked[-1] == "pause"
        t.app.release.set()
        async with asyncio.timeout(60):
            while len(t.wire.answers()) < 5:
                await asyncio.sleep(0)
        assert [a.body[-1:] for a in t.wire.answers()] == [b"1", b"r", b"3", b"r", b"5"]
        assert t.wire.asked[-1] == "resume"

    talk(story)


def test_a_client_that_waits_for_100_is_told_to_go_on_unless_its_body_is_too_large() -> None:
    def told(t: Talk) -> None:
        t.send(post(b"x" * 50, "Expect: 100-continue")[:-50])
        assert t.wire.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert t.send(b"x" * 50)[0].status == 200

    def refused(t: Talk) -> None:
        head = b"POST /p HTTP/1.1\r\nHost: s\r\nContent-Length: 201\r\nExpect: 100-continue\r\n\r\n"
        assert t.send(head)[0].status == 413
        assert b"100 Continue" not in t.wire.sent

    talk(told)
    talk(refused)


def test_a_head_request_gets_the_length_and_no_body() -> None:
    def story(t: Talk) -> None:
        t.send(b"HEAD /p HTTP/1.1\r\nHost: s\r\n\r\n")
        (answer,) = t.wire.answers(head=True)
        assert answer.headers["content-length"] == str(len(b"HEAD /p "))
        assert t.wire.sent.endswith(b"\r\n\r\n")

    talk(story)


@pytest.mark.parametrize(
    ("version", "lines", "closes", "says"),
    [
        ("1.1", [], False, None),
        ("1.1", ["Connection: close"], True, "close"),
        ("1.1", ["Connection: keep-alive"], False, "keep-alive"),
        ("1.0", [], True, "close"),
        ("1.0", ["Connection: keep-alive"], False, "keep-alive"),
        ("1.1", ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"], False, "keep-alive"),
    ],
)
def test_the_connection_lives_as_its_header_says(
    version: str, lines: list[str], closes: bool, says: str | None
) -> None:
    def story(t: Talk) -> None:
        (answer,) = t.send(post(b"a", *lines, version=version))
        assert (answer.status, answer.headers.get("connection"), t.closed) == (200, says, closes)
        if not closes:
            assert len(t.send(post(b"b", *lines, version=version))) == 2

    talk(story)


@pytest.mark.parametrize(
    ("segments", "status"),
    [
        pytest.param([b"\x16\x03\x01\x02\x00\x01\x00"], 400, id="TLS"),
        pytest.param([b"nonsense\r\n\r\n"], 400, id="no HTTP"),
        pytest.param([b"POST /p HTTP/1.1\r\nContent-Length: x\r\n\r\n"], 400, id="no length"),
        pytest.param(
            [b"POST /p HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
            400,
            id="two lengths",
        ),
        pytest.param([post(b"a", "Bad\x00Name: 1")], 400, id="bad header"),
        pytest.param([b"GET /%b HTTP/1.1\r\n\r\n" % (b"u" * 100)], 414, id="long URL"),
        pytest.param([b"GET /", *[b"u" * 40] * 3], 414, id="long URL in pieces"),
        pytest.param([post(b"a", *[f"H{i}: 1" for i in range(10)])], 431, id="many headers"),
        pytest.param([b"GET /p HTTP/1.1\r\nH: ", *[b"v" * 500] * 5], 431, id="long header in pieces"),
        pytest.param([post(b"x" * 201)], 413, id="large body"),
        pytest.param(
            [
                b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                *[b"64\r\n" + b"x" * 100 + b"\r\n"] * 3,
            ],
            413,
            id="large body in chunks",
        ),
    ],
)
def test_what_is_not_a_request_or_too_large_is_refused_once_and_the_connection_ends(
    segments: list[bytes], status: int
) -> None:
    def story(t: Talk) -> None:
        answers = t.send(*segments, *segments, post(b"after"))
        assert [a.status for a in answers] == [status]
        assert answers[0].headers["connection"] == "close"
        # The sending side ends first: a socket closed with unread bytes would lose the answer.
        assert t.wire.asked[0] == "eof"

    talk(story)


def test_a_refused_client_that_goes_on_sending_is_cut_off_in_bytes_and_in_time() -> None:
    def bytes_(t: Talk) -> None:
        t.send(post(b"x" * 201))
        t.send(*[b"y" * 500] * 2)
        assert t.wire.asked[-1] == "abort"

    def time_(t: Talk) -> None:
        t.send(post(b"x" * 201))
        t.tick(2)
        assert "abort" not in t.wire.asked
        t.tick(1)
        assert "abort" in t.wire.asked

    talk(bytes_)
    talk(time_)


@pytest.mark.parametrize("part", [b"POST /p HTTP/1.1\r\nHo", post(b"body")[:-2]])
def test_a_request_that_does_not_arrive_in_time_is_refused_however_its_bytes_drip(part: bytes) -> None:
    def story(t: Talk) -> None:
        for byte in part[:10]:
            t.send(bytes([byte]))
        t.send(part[10:])
        t.tick(10)
        assert not t.closed
        t.tick(1)
        assert [a.status for a in t.wire.answers()] == [408]
        assert t.closed

    talk(story)


def test_an_idle_connection_is_let_go_after_its_time_and_not_before() -> None:
    def story(t: Talk) -> None:
        t.tick(70)
        t.send(post())
        t.tick(75)
        assert not t.closed
        t.send(b"\r\n")  # no request, and no sign of life
        t.tick(1)
        assert t.wire.asked == ["close"]

    talk(story)


def test_an_answer_that_takes_its_time_is_not_cut_off() -> None:
    async def story(t: Talk) -> None:
        t.send(post(b"later"))
        t.tick(1000)
        t.app.release.set()
        async with asyncio.timeout(60):
            while not t.wire.answers():
                await asyncio.sleep(0)
        assert t.wire.answers()[0].status == 200

    talk(story)


def test_a_client_that_does_not_read_is_not_read_from_and_is_cut_off_in_the_end() -> None:
    def story(t: Talk) -> None:
        t.connection.pause_writing()
        t.send(post(b"1") + post(b"2"))
        assert t.wire.answers() == []
        assert set(t.wire.asked) == {"pause"}
        t.connection.resume_writing()
        assert len(t.wire.answers()) == 2
        assert t.wire.asked[-1] == "resume"
        t.connection.pause_writing()
        t.tick(30)
        assert "abort" not in t.wire.asked
        t.tick(1)
        assert t.wire.asked[-1] == "abort"

    talk(story)


def test_a_client_that_ends_its_side_still_gets_the_answer_it_waits_for() -> None:
    async def story(t: Talk) -> None:
        t.send(post(b"later"))
        assert t.connection.eof_received() is True
        t.app.release.set()
        async with asyncio.timeout(60):
            while "close" not in t.wire.asked:
                await asyncio.sleep(0)
        assert t.wire.answers()[0].body == b"POST /p later"

    talk(story)
    talk(lambda t: pytest.fail("kept open") if t.connection.eof_received() else None)


def test_one_connection_too_many_is_told_so() -> None:
    def story(t: Talk) -> None:
        second, third = Wire(), Wire()
        t.listener.connect().connection_made(second)
        t.listener.connect().connection_made(third)
        assert third.answers()[0].status == 503
        assert second.answers() == []
        assert t.send(post())[0].status == 200

    talk(story)


def test_a_drain_closes_each_connection_with_its_next_answer_and_idle_ones_at_the_end() -> None:
    async def story(t: Talk) -> None:
        idle, waiting = Wire(), Wire()
        t.listener.connect().connection_made(idle)
        busy = t.listener.connect()
        busy.connection_made(waiting)
        busy.data_received(post(b"later"))
        draining = asyncio.create_task(t.listener.drain(0.05, 60))
        await asyncio.sleep(0)
        (answer,) = t.send(post(b"last"))
        assert (answer.body, answer.headers["connection"]) == (b"POST /p last", "close")
        t.connection.connection_lost(None)
        async with asyncio.timeout(60):
            while "close" not in idle.asked:
                await asyncio.sleep(0.001)
        assert waiting.asked == []
        t.app.release.set()
        async with asyncio.timeout(60):
            while not waiting.answers():
                await asyncio.sleep(0)
        assert waiting.answers()[0].headers["connection"] == "close"
        draining.cancel()

    asyncio.run(_with(Limits(connections=10), story))


async def _with(limits: Limits, story: Any) -> None:
    made = Talk(limits)
    await story(made)
    made.listener.abort()


def test_no_timer_runs_without_connections() -> None:
    def story(t: Talk) -> None:
        assert t.listener._timer is not None
        t.connection.connection_lost(None)
        t.tick(1)
        assert t.listener._timer is None

    talk(story)


def test_pipelined_scores_come_back_in_order_and_each_is_recorded() -> None:
    made = rig()
    bodies = [
        json.dumps({**v1(row), "meta": {"puid": f"r{i}"}}).encode() for i, row in enumerate([GOOD, BAD] * 3)
    ]
    stream = b"".join(
        b"POST /predict HTTP/1.1\r\nhost: s\r\ncontent-length: %d\r\n\r\n%b" % (len(b), b) for b in bodies
    )
    answers = made.exchange([stream], answers=6)
    assert [a.headers["seldon-puid"] for a in answers] == [f"r{i}" for i in range(6)]
    assert made.service.recorder.pending == 6


def test_a_refusal_of_the_transport_has_the_shape_of_the_protocol_asked() -> None:
    made = rig(max_body=100)
    for path, key in (("/predict", "status"), ("/v2/models/small/infer", "error")):
        answer = made.call("POST", path, b"x" * 101)
        assert (answer.status, list(answer.json)) == (413, [key])
    assert made.metric('serinus_requests_total{code="413",model="small",predictor="canary"}') == 2
