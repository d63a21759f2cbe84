"""The listening socket, its connections, their limits of time, and the drain."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Awaitable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Protocol

import msgspec

from serving.scorer.http1 import Connection
from serving.scorer.request import Request
from serving.scorer.service import Reply


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may ask of the server; times in whole seconds, sizes in bytes.

    ``idle`` is longer than Istio's 60 s pool and Envoy's usual settings: whoever
    pools connections should be the one to close them, or it meets a reset.
    """

    body: int = 4 << 20
    head: int = 32 << 10
    url: int = 8 << 10
    headers: int = 100
    connections: int = 4096
    request: int = 10
    idle: int = 75
    write: int = 30


class Answering(Protocol):
    """The application behind the socket."""

    stamp: bytes

    def answer(self, request: Request) -> Reply | Awaitable[Reply]:
        """The answer; never raises, nor does what it returns."""
        ...

    def refuse(self, url: bytes, status: int, message: str) -> Reply:
        """An error in the shape of the URL's protocol."""
        ...


class Listener:
    """Serves one application over HTTP/1.1.

    Time is kept in ticks of a second, by one timer that runs only while there
    are connections: a request sets no timer, and an idle server does nothing.
    """

    def __init__(self, app: Answering, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.limits = limits
        self.tick = 0
        self.draining = False
        self.max_body, self.max_head = limits.body, limits.head
        self.max_url, self.max_headers = limits.url, limits.headers
        self.answer = app.answer
        self.refuse = app.refuse
        self.connections: set[Connection] = set()
        self._stamp = app.stamp
        self._heads: dict[int, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None
        self._socket: socket.socket | None = None
        self._empty = asyncio.Event()
        self._tls: ssl.SSLContext | None = None

    async def start(
        self, listener: socket.socket, backlog: int = 2048, tls: ssl.SSLContext | None = None
    ) -> None:
        """Accept on a bound socket. Raises OSError if it cannot listen."""
        self._tls = tls
        self._socket = listener.dup()
        self._socket.setblocking(False)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self.connect, sock=listener, backlog=backlog, **self._secure()
        )

    def connect(self) -> Connection:
        """A protocol for a new connection."""
        return Connection(self)

    # --- what a connection asks ------------------------------------------

    def opened(self, connection: Connection) -> bool:
        """Take note of it; False if there are too many."""
        self.connections.add(connection)
        if self._timer is None:
            self._sweep_later()
        return len(self.connections) <= self.limits.connections

    def closed(self, connection: Connection) -> None:
        """Forget it."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def head(self, status: int) -> bytes:
        """Status line and the headers that all answers share, up to ``content-length: ``."""
        head = self._heads.get(status)
        if head is None:
            try:
                phrase = HTTPStatus(status).phrase
            except ValueError:
                phrase = "Unknown"
            date = formatdate(time.time(), usegmt=True)
            head = (
                f"HTTP/1.1 {status} {phrase}\r\ndate: {date}\r\n".encode() + self._stamp + b"content-length: "
            )
            self._heads[status] = head
        return head

    # --- time ------------------------------------------------------------

    def _sweep_later(self) -> None:
        self._heads.clear()
        self._timer = asyncio.get_running_loop().call_later(1.0, self._sweep)

    def _sweep(self) -> None:
        self.tick += 1
        self._timer = None
        limits = self.limits
        for connection in tuple(self.connections):
            connection.sweep(self.tick, request=limits.request, idle=limits.idle, write=limits.write)
        if self.connections:
            self._sweep_later()

    # --- the end ---------------------------------------------------------

    async def drain(self, grace: float, timeout: float) -> None:
        """Accept nothing more, close each connection with its next answer, then close the idle ones.

        Args:
            grace: seconds in which kept-alive connections are still answered.
            timeout: seconds, after that, for answers under way.
        """
        self.draining = True
        await self._stop_listening()
        await self._emptied(grace)
        for connection in tuple(self.connections):
            connection.close()
        await self._emptied(timeout)
        self.abort()

    async def _stop_listening(self) -> None:
        """What the kernel has accepted for us is answered too, not reset."""
        if self._server is not None:
            self._server.close()
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        left: list[socket.socket] = []
        try:
            while True:
                left.append(self._socket.accept()[0])
        except OSError:
            self._socket.close()
        for client in left:
            client.setblocking(False)
            with contextlib.suppress(OSError):  # a handshake that fails has no answer to lose
                await loop.connect_accepted_socket(self.connect, client, **self._secure())

    def _secure(self) -> dict[str, Any]:
        """How a connection is set up under TLS: who is silent in the handshake is let go like any other."""
        if self._tls is None:
            return {}
        return {"ssl": self._tls, "ssl_handshake_timeout": self.limits.request, "ssl_shutdown_timeout": 2.0}

    async def _emptied(self, seconds: float) -> None:
        self._empty.clear()
        if not self.connections:
            return
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            return

    def abort(self) -> None:
        """Let go of every connection at once."""
        for connection in tuple(self.connections):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
