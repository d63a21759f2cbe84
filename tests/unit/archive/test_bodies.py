"""What a body may take of memory and time, and what is free again afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request

from serving.archive.bodies import LARGEST, Bodies, Unread

Receive = Callable[[], Awaitable[dict[str, Any]]]


def request(*parts: bytes, then: str = "end", when_asked: Callable[[], None] = lambda: None) -> Request:
    """A request whose body comes in these parts; then it ends, the sender goes, or nothing more comes."""
    left = list(parts)

    async def receive() -> dict[str, Any]:
        if left:
            part = left.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(left) or then != "end"}
        when_asked()
        if then == "gone":
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()
        raise AssertionError

    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


async def read(bodies: Bodies, of: Request) -> bytes:
    async with bodies.of(of) as body:
        return body


def test_a_body_is_the_sum_of_its_parts() -> None:
    assert asyncio.run(read(Bodies(), request(b"a", b"b\n", b"c"))) == b"ab\nc"


@pytest.mark.parametrize(
    ("parts", "then", "reason"),
    [
        ((b"x" * LARGEST, b"x"), "end", "large"),
        ((b"x",), "gone", "gone"),
        ((b"x",), "silence", "slow"),
        ((), "silence", "slow"),
        ((b"x" * 60, b"x" * 60), "end", "busy"),
    ],
)
def test_what_is_not_read_says_why_and_gives_back_what_it_held(
    parts: tuple[bytes, ...], then: str, reason: str
) -> None:
    bodies = Bodies(silence=0.01, room=100 if reason == "busy" else 2 * LARGEST)

    async def turn() -> None:
        for _ in range(3):
            with pytest.raises(Unread) as error:
                await read(bodies, request(*parts, then=then))
            assert error.value.reason == reason
        assert await read(bodies, request(b"x" * 100)) == b"x" * 100

    asyncio.run(turn())


def test_a_body_in_hand_takes_room_from_others_until_it_is_kept() -> None:
    bodies = Bodies(room=100)

    async def turn() -> None:
        async with bodies.of(request(b"x" * 70)):
            assert await read(bodies, request(b"y" * 30)) == b"y" * 30
            with pytest.raises(Unread, match="busy"):
                await read(bodies, request(b"y" * 31))
        assert await read(bodies, request(b"y" * 31)) == b"y" * 31

    asyncio.run(turn())


def test_a_drop_at_a_time_is_too_slow_in_the_end() -> None:
    async def dripping() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"x", "more_body": True}

    of = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, dripping)
    with pytest.raises(Unread, match="slow"):
        asyncio.run(read(Bodies(silence=0.01), of))
