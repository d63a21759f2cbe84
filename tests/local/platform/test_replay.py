"""The load client against servers that answer, err, are late, hang up, or are not there."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from serving.local.replay import LATE, Replay

pytestmark = [pytest.mark.anyio, pytest.mark.local]
ROWS = [{"amount": 1.5, "channel": "chip", "age": None}, {"amount": 2.0, "channel": "swipe", "age": 3}]
PATIENT = 120.0
"""A deadline that no answer misses, however busy the machine is."""

Answer = Callable[[int, bytes], Awaitable[bytes | None]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def said(code: int, predictor: str = "v1", body: bytes = b"{}", extra: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {code} X\r\nx-serinus-predictor: {predictor}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body


@asynccontextmanager
async def serving(answer: Answer) -> AsyncGenerator[tuple[str, list[int]]]:
    """A server; yields its URL and the number of requests on each connection."""
    connections: list[int] = []
    numbers = itertools.count()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        index = len(connections)
        connections.append(0)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                connections[index] += 1
                reply = await answer(next(numbers), body)
                if reply is None:
                    break
                writer.write(reply)
                await writer.drain()
                if b"Connection: close" in reply:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections
    finally:
        server.close()


async def test_answers_are_counted_by_predictor_and_code_over_kept_connections() -> None:
    bodies: list[bytes] = []

    async def answer(number: int, body: bytes) -> bytes:
        bodies.append(body)
        return said(500 if number % 10 == 0 else 200, "v2" if number % 2 == 0 else "v1")

    async with serving(answer) as (url, connections):
        replay = Replay(url, itertools.cycle(ROWS), 500, deadline=PATIENT, connections=8)
        tally = await replay.run(requests=200)
    assert (tally.sent, tally.answered, tally.bad) == (200, 200, 20)
    assert (tally.of("v1").bad, tally.of("v2").codes) == (0, {"200": 80, "500": 20})
    assert json.loads(bodies[0]) == {
        "data": {"names": ["amount", "channel", "age"], "ndarray": [[1.5, "chip", None]]}
    }
    assert len(connections) <= 8
    fast = tally.of("v1").percentile(0.5)
    assert fast is not None
    assert 0 < fast < tally.elapsed


async def test_the_rate_is_kept_whatever_the_server_does() -> None:
    asked, half = itertools.count(1), asyncio.Event()

    async def answer(number: int, body: bytes) -> bytes:
        if next(asked) == 50:
            half.set()
        await half.wait()  # nobody is answered before the fiftieth has asked
        return said(200)

    async with serving(answer) as (url, _):
        tally = await Replay(url, itertools.cycle(ROWS), 100, deadline=PATIENT).run(seconds=1.0)
    assert 100 <= tally.sent <= 101
    assert (tally.answered, tally.bad) == (tally.sent, 0)
    # From when it was due: the first has waited for the fiftieth, which came 0.49 s after it.
    assert max(tally.of("v1").latencies) >= 0.48


async def test_a_late_answer_is_a_bad_one_and_delays_nobody() -> None:
    answered = itertools.count(1)

    async def answer(number: int, body: bytes) -> bytes:
        if number == 3:
            await asyncio.Event().wait()
        return said(200)

    def heard(number: int, code: str, who: str, body: bytes) -> None:
        if next(answered) == 49:  # all that ever will be
            replay.deadline = 0.1

    async with serving(answer) as (url, _):
        replay = Replay(url, itertools.cycle(ROWS), 100, deadline=PATIENT, on_answer=heard)
        tally = await replay.run(requests=50)
    assert (tally.answered, tally.bad, tally.of("").codes) == (49, 1, {LATE: 1})


async def test_a_connection_that_breaks_is_one_bad_answer() -> None:
    async def answer(number: int, body: bytes) -> bytes | None:
        return None if number == 5 else said(200)

    async with serving(answer) as (url, _):
        tally = await Replay(url, itertools.cycle(ROWS), 200, deadline=PATIENT).run(requests=50)
    assert (tally.of("v1").answered, tally.bad, tally.of("").codes) == (49, 1, {"reset": 1})


async def test_a_server_that_closes_after_each_answer_loses_nothing() -> None:
    async def answer(number: int, body: bytes) -> bytes:
        return said(200, extra="Connection: close\r\n")

    async with serving(answer) as (url, connections):
        # Sent at once, so that most of them wait for a connection when nothing more is sent.
        replay = Replay(url, itertools.cycle(ROWS), 1e6, deadline=PATIENT, connections=4)
        tally = await asyncio.wait_for(replay.run(requests=40), PATIENT / 2)
    assert (tally.answered, tally.bad) == (40, 0)
    # Another may have been dialled for what the one before it took.
    assert [carried for carried in connections if carried] == [1] * 40


async def test_without_a_server_every_request_is_refused() -> None:
    with socket.socket() as held:  # bound and not listening
        held.bind(("127.0.0.1", 0))
        tally = await Replay(
            f"http://127.0.0.1:{held.getsockname()[1]}", ROWS * 10, 200, deadline=PATIENT
        ).run()
    assert tally.exhausted
    assert tally.of("").codes == {"refused": 20}


async def test_each_answer_can_be_looked_at() -> None:
    async def answer(number: int, body: bytes) -> bytes:
        return said(200, body=f'{{"n":{number}}}'.encode())

    seen: dict[int, tuple[str, str, bytes]] = {}
    async with serving(answer) as (url, _):
        replay = Replay(
            url,
            ROWS,
            100,
            deadline=PATIENT,
            on_answer=lambda n, code, who, body: seen.update({n: (code, who, body)}),
        )
        await replay.run()
    assert seen == {0: ("200", "v1", b'{"n":0}'), 1: ("200", "v1", b'{"n":1}')}


async def test_stop_settles_what_is_on_its_way() -> None:
    asked, go = asyncio.Semaphore(0), asyncio.Event()

    async def answer(number: int, body: bytes) -> bytes:
        asked.release()
        await go.wait()
        return said(200)

    async with serving(answer) as (url, _):
        replay = Replay(url, itertools.cycle(ROWS), 100, deadline=PATIENT)
        running = asyncio.create_task(replay.run())
        for _ in range(5):
            await asked.acquire()
        replay.stop()
        go.set()
        tally = await running
    assert tally.sent == tally.answered >= 5
