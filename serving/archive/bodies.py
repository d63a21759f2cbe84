"""Bodies of requests: how much of them may be in hand, and how long a sender may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

LARGEST = 8 << 20
ROOM = 16 * LARGEST
"""Bytes of all bodies in hand at one time. Whoever sends nothing holds nothing."""
SILENCE = 10.0
_WHOLE = 6
"""A body may take this many silences in all."""


class Unread(Exception):  # noqa: N818  what became of it
    """A body that was not read.

    Attributes:
        reason: ``large``, ``slow``, ``busy`` (there is no room beside the others) or ``gone``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Bodies:
    """Reads bodies within bounds of memory and time, so that senders who are slow, stuck or gone keep nobody out.

    Args:
        silence: seconds that a sender may be silent in the midst of a body; all of it may take six times as long.
        room: bytes in hand at one time, of bodies that are being read or kept.
    """

    def __init__(self, silence: float = SILENCE, room: int = ROOM) -> None:
        self._silence = silence
        self._room = room

    @asynccontextmanager
    async def of(self, request: Request) -> AsyncGenerator[bytes]:
        """The body, for as long as it is in hand. Raises ``Unread`` before."""
        body = bytearray()
        try:
            await self._read(request, body)
            yield bytes(body)
        finally:
            self._room += len(body)

    async def _read(self, request: Request, body: bytearray) -> None:
        now = asyncio.get_running_loop().time
        until = now() + _WHOLE * self._silence
        try:
            async with asyncio.timeout(self._silence) as limit:
                async for chunk in request.stream():
                    if len(body) + len(chunk) > LARGEST:
                        raise Unread("large")
                    if len(chunk) > self._room:
                        raise Unread("busy")
                    body += chunk
                    self._room -= len(chunk)
                    limit.reschedule(min(until, now() + self._silence))
        except TimeoutError as error:
            raise Unread("slow") from error
        except ClientDisconnect as error:
            raise Unread("gone") from error
