"""The same fixed answer from each HTTP stack: ``python servers.py STACK PORT``."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

BODY = b'{"data":{"names":["probability"],"ndarray":[[0.0123]]},"meta":{"puid":"0123456789abcdef"}}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI, the whole body read."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


class Rsgi:
    """Granian's own interface."""

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        await protocol()
        protocol.response_bytes(200, [("content-type", "application/json")], BODY)


rsgi = Rsgi()


def listening(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


def protocol(port: int, *, uv: bool = True) -> None:
    import httptools
    import uvloop

    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(BODY),
        BODY,
    )

    class Null(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.parser = httptools.HttpRequestParser(self)

        def data_received(self, data: bytes) -> None:
            self.parser.feed_data(data)

        def on_body(self, body: bytes) -> None:
            self.body = body

        def on_message_complete(self) -> None:
            self.transport.write(answer)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Null, sock=listening(port))
        await server.serve_forever()

    asyncio.run(run(), loop_factory=uvloop.new_event_loop if uv else None)


def scorer(port: int) -> None:
    """The scorer's listener and connection before a fixed answer."""
    import uvloop

    from serving.scorer.listener import Listener
    from serving.scorer.request import Request
    from serving.scorer.service import Reply

    class App:
        stamp = b"x-serinus-predictor: champion\r\nx-serinus-digest: sha256:%b\r\n" % (b"0" * 64)

        def answer(self, request: Request) -> Reply:
            return Reply(200, BODY, "0123456789abcdef0123456789abcdef")

        def refuse(self, url: bytes, status: int, message: str) -> Reply:
            return Reply(status, message.encode())

    async def run() -> None:
        await Listener(App()).start(listening(port))
        await asyncio.Event().wait()

    asyncio.run(run(), loop_factory=uvloop.new_event_loop)


def uvicorn(port: int) -> None:
    import uvicorn as server

    server.run(
        asgi, port=port, http="httptools", loop="uvloop", access_log=False, log_level="error", lifespan="off"
    )  # pyright: ignore


def granian(port: int, interface: str) -> None:
    from granian import Granian  # pyright: ignore

    Granian(
        f"servers:{interface}", port=port, interface=interface, workers=1, log_enabled=False, loop="uvloop"
    ).serve()


def robyn(port: int) -> None:
    from robyn import Robyn  # pyright: ignore

    app = Robyn(__file__)

    @app.post("/predict")  # pyright: ignore
    def predict(request: Any) -> str:
        return BODY.decode()

    app.start(host="127.0.0.1", port=port)


if __name__ == "__main__":
    stack, port = sys.argv[1], int(sys.argv[2])
    sys.argv = sys.argv[:1]
    {
        "protocol": lambda: protocol(port),
        "protocol-asyncio": lambda: protocol(port, uv=False),
        "scorer": lambda: scorer(port),
        "uvicorn": lambda: uvicorn(port),
        "granian-asgi": lambda: granian(port, "asgi"),
        "granian-rsgi": lambda: granian(port, "rsgi"),
        "robyn": lambda: robyn(port),
    }[stack]()
