"""The floor: uvloop and httptools with a fixed answer. ``python -m tests.local.scorer.null`` prints its port."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import cast

import httptools
import uvloop

BODY = b'{"data":{"names":["probability"],"ndarray":[[0.0123]]},"meta":{"puid":"0123456789abcdef"}}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)


class Null(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body = body

    def on_message_complete(self) -> None:
        self.transport.write(ANSWER)


async def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(Null, sock=listener)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(), loop_factory=uvloop.new_event_loop)
