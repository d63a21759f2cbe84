# ruff: noqa: D102
"""The floor: uvloop and httptools, every POST answered with the same bytes. ``null.py PORT ANSWER_BYTES``."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import httptools
import uvloop

_FILL = b'{"data":{"names":["probability"],"ndarray":[[0.5]]},"fill":"'


class Null(asyncio.Protocol):
    """One connection: parses the request as a real server does, and looks at nothing of it."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write: Any = getattr(transport, "write")  # noqa: B009  uvloop's is no asyncio.WriteTransport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        pass

    def on_header(self, name: bytes, value: bytes) -> None:
        pass

    def on_body(self, body: bytes) -> None:
        self._body = body

    def on_message_complete(self) -> None:
        self._write(self._answer)


async def _serve(port: int, size: int) -> None:
    body = _FILL + b"x" * max(0, size - len(_FILL) - 2) + b'"}'
    nonce = os.environ.get("BENCH_NONCE", "")
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Bench: {nonce}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    answer = head.encode() + body
    server = await asyncio.get_running_loop().create_server(
        lambda: Null(answer), "127.0.0.1", port, backlog=2048
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
