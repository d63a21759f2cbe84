"""HTTP/1.1 on one connection: httptools parses, one write answers.

A request costs no task and no timer. What is parsed lands in one ``Request``
that the connection reuses; limits of time are kept by the server's sweep
(``listener``). Answers go out in the order of their requests, also where
several were sent without waiting (pipelining).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

import httptools

from serving.scorer.request import CHUNKED, CONNECTION, EXPECT, LENGTH, PASSED, TYPE, Request, names
from serving.scorer.service import Reply

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Fewer copies beat one write only for bodies like these.
_SEPARATE = 64 << 10


class Server(Protocol):
    """What a connection asks of the listener."""

    tick: int
    draining: bool
    max_body: int
    max_head: int
    max_url: int
    max_headers: int

    def answer(self, request: Request) -> Reply | Awaitable[Reply]:
        """The answer; never raises, nor does what it returns."""
        ...

    def refuse(self, url: bytes, status: int, message: str) -> Reply:
        """An error in the shape of the URL's protocol, for what is not a whole request."""
        ...

    def head(self, status: int) -> bytes:
        """Status line and the headers that all answers share, up to ``content-length: ``."""
        ...

    def opened(self, connection: Connection) -> bool:
        """Take note of it; False if there are too many."""
        ...

    def closed(self, connection: Connection) -> None:
        """Forget it."""
        ...


_IDLE, _HEAD, _BODY, _LINGER = range(4)
_LINGER_TICKS = 2


class Connection(asyncio.Protocol):
    """See the module.

    Attributes:
        since: the server's tick when the present state began.
        writing: whether the client takes what was written (False: it must read first).
    """

    __slots__ = (
        "_backlog",
        "_eof",
        "_fed",
        "_feed",
        "_headers",
        "_length",
        "_parser",
        "_pieces",
        "_request",
        "_server",
        "_state",
        "_task",
        "_transport",
        "_write",
        "since",
        "writing",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._state = _IDLE
        self._request = Request()
        self._pieces: bytearray | None = None
        self._headers = 0
        self._fed = 0
        self._length = b"0"
        self._task: asyncio.Task[None] | None = None
        self._backlog: deque[Request] = deque()
        self._eof = False
        self.writing = True
        self.since = server.tick

    # --- the transport's calls -------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or refuse where there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        self._write: Callable[[bytes], None] = self._transport.write
        self._parser = httptools.HttpRequestParser(self)
        self._feed = self._parser.feed_data
        if not self._server.opened(self):
            self._give_up(503, "too many connections; try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is left to answer; what is being answered is still recorded."""
        self._state = _LINGER
        self._backlog.clear()
        self._server.closed(self)

    def data_received(self, data: bytes) -> None:
        """Parse; answers are written from within."""
        if self._state == _LINGER:
            self._fed += len(data)
            if self._fed > 4 * self._server.max_body:
                self._transport.abort()
            return
        before, rest = self._state, data
        try:
            while rest:
                try:
                    self._feed(rest)
                    break
                except httptools.HttpParserUpgrade as upgrade:
                    self._stay()
                    rest = rest[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            self._give_up(400, f"this is not HTTP/1.1 ({error.__context__ or error})")
        if self._state == _HEAD and before == _HEAD:
            self._fed += len(data)
            if self._fed > self._server.max_head:
                self._give_up(431, f"the head is larger than {self._server.max_head:,} bytes")

    def _stay(self) -> None:
        """Go on in HTTP/1.1: another protocol was offered, not demanded (RFC 9110, section 7.8).

        The parser stops before the body of such a request; a new one reads it, behind a
        head that says only how long it is.
        """
        self._parser = httptools.HttpRequestParser(self)
        self._feed = self._parser.feed_data
        if self._state == _BODY:
            request = self._request
            framing = b"content-length: %b" % self._length
            if CHUNKED in request.headers:
                framing = b"transfer-encoding: %b" % request.headers[CHUNKED]
            self._feed(b"%b / HTTP/1.1\r\n%b\r\n\r\n" % (request.method, framing))

    def eof_received(self) -> bool:
        """The client has sent all it will; what it asked is still answered."""
        self._eof = self._task is not None or bool(self._backlog)
        return self._eof

    def pause_writing(self) -> None:
        """The client does not read: take no more from it."""
        self.writing = False
        self.since = self._server.tick
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self.writing = True
        self.since = self._server.tick
        self._go_on()

    # --- the parser's calls ----------------------------------------------

    def on_url(self, url: bytes) -> None:
        """A request begins, or its URL goes on in the next segment."""
        if self._state == _IDLE:
            self._state = _HEAD
            self._fed = self._headers = 0
            self._length = b"0"
            self.since = self._server.tick
            self._request.url = url
        elif self._state == _HEAD:
            self._request.url += url
        if len(self._request.url) > self._server.max_url:
            self._give_up(414, f"the URL is longer than {self._server.max_url:,} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; a chunked body may end with more, which are passed over."""
        self._headers += 1
        if len(value) > self._server.max_head:
            # A head in one segment is not counted by segments.
            self._give_up(431, f"a header is larger than {self._server.max_head:,} bytes")
            return
        known = names[name]
        if known is PASSED or self._state != _HEAD:
            if self._headers > self._server.max_headers and self._state == _HEAD:
                self._give_up(431, f"there are more than {self._server.max_headers} headers")
        elif known is LENGTH:
            self._length = value
            if int(value) > self._server.max_body:
                self._too_large()
        elif known is CONNECTION:
            self._request.asked = True
        elif known is not TYPE or not value.startswith(b"application/json"):
            self._request.headers[known] = value

    def on_headers_complete(self) -> None:
        """The body follows."""
        if self._state != _HEAD:
            return
        self._state = _BODY
        if self._request.headers and EXPECT in self._request.headers and self._task is None:
            self._write(_CONTINUE)  # the body is of a length we take, or we would have refused it by now

    def on_body(self, piece: bytes) -> None:
        """A piece of the body; most have one."""
        if self._state != _BODY:
            return
        request = self._request
        if not request.body:
            request.body = piece
        else:
            if self._pieces is None:
                self._pieces = bytearray(request.body)
            self._pieces += piece
        if len(self._pieces or piece) > self._server.max_body:
            self._too_large()

    def on_message_complete(self) -> None:
        """Answer, or keep for later where an answer before it is not ready."""
        if self._state != _BODY:
            return
        request = self._request
        if self._pieces is not None:
            request.body, self._pieces = bytes(self._pieces), None
        request.method = self._parser.get_method()
        if request.asked and self._parser.should_upgrade():
            return  # the body is still to come: see _stay
        request.keep_alive = self._parser.should_keep_alive()
        self._state = _IDLE
        self.since = self._server.tick
        if self._task is not None or not self.writing:
            self._backlog.append(request)
            self._request = Request()
            self._transport.pause_reading()
            return
        reply = self._server.answer(request)
        if type(reply) is Reply:
            self._send(request, reply)
            request.body = b""
            request.asked = False
            if request.headers:
                request.headers = {}
        else:
            self._request = Request()
            self._task = asyncio.ensure_future(self._later(request, cast("Awaitable[Reply]", reply)))

    # --- answers ---------------------------------------------------------

    async def _later(self, request: Request, reply: Awaitable[Reply]) -> None:
        try:
            made = await reply
        except Exception as error:
            # What answers promises not to raise; if it does, nobody is left hanging.
            asyncio.get_running_loop().call_exception_handler(
                {"message": "an answer failed", "exception": error}
            )
            made = self._server.refuse(
                request.url, 500, f"an unforeseen {type(error).__name__}; please report it"
            )
        self._task = None
        if not self._transport.is_closing():
            self._send(request, made)
            self._go_on()

    def _go_on(self) -> None:
        """Answer what was kept, then read on."""
        while self._backlog and self._task is None and self.writing:
            request = self._backlog.popleft()
            reply = self._server.answer(request)
            if isinstance(reply, Reply):
                self._send(request, reply)
            else:
                self._task = asyncio.ensure_future(self._later(request, reply))
        if self._backlog or self._task is not None or not self.writing or self._transport.is_closing():
            return
        if self._eof:
            self._end()
        elif self._state != _LINGER:
            self._transport.resume_reading()

    def _send(self, request: Request, reply: Reply) -> None:
        server, body = self._server, reply.body
        head = server.head(reply.status)
        if (
            reply.plain
            and request.keep_alive
            and not (request.asked or server.draining)
            and len(body) < _SEPARATE
            and request.method != b"HEAD"
        ):
            self._write(
                b"%b%d\r\nseldon-puid: %b\r\ncontent-type: application/json\r\n\r\n%b"
                % (head, len(body), reply.request_id.encode(), body)
            )
            return
        close = server.draining or not request.keep_alive
        lines = [b"%b%d\r\n" % (head, len(body)), reply.headers or b"content-type: application/json\r\n"]
        if reply.request_id:
            lines.append(b"seldon-puid: %b\r\n" % reply.request_id.encode())
        if reply.retry_after:
            lines.append(b"retry-after: %d\r\n" % reply.retry_after)
        if close or request.asked:
            lines.append(b"connection: close\r\n" if close else b"connection: keep-alive\r\n")
        lines.append(b"\r\n")
        if request.method != b"HEAD":
            lines.append(body)
        self._transport.writelines(lines)
        if close:
            self._end()

    def _end(self) -> None:
        """Say that no more answers follow, and take nothing more.

        Not simply closed: a socket closed with unread bytes resets the
        connection, and the client may lose the answer it was about to read.
        """
        self._state = _LINGER
        self._fed = 0
        self.since = self._server.tick
        self._backlog.clear()
        self._request = Request()
        self._pieces = None
        if self._eof:
            self._transport.close()
        elif not self._transport.is_closing():
            if (
                self._transport.can_write_eof()
            ):  # TLS has no half of a close: there the client closes, or the sweep
                self._transport.write_eof()
            self._transport.resume_reading()

    def _give_up(self, status: int, message: str) -> None:
        """Refuse what is not a whole request, and with it the connection."""
        if self._state == _LINGER:
            return
        if self._task is None and not self._backlog:
            request = Request()
            request.keep_alive = False
            self._send(request, self._server.refuse(self._request.url, status, message))
        else:
            self._end()  # answers before it would come out of order

    def _too_large(self) -> None:
        limit = self._server.max_body
        self._give_up(413, f"the body is larger than {limit:,} bytes; send fewer rows")

    @property
    def answering(self) -> bool:
        """Whether an answer is being waited for."""
        return self._task is not None

    # --- the server's calls ----------------------------------------------

    def sweep(self, tick: int, *, request: int, idle: int, write: int) -> None:
        """Apply the limits of time; each is a number of ticks."""
        age = tick - self.since
        if not self.writing:
            if age > write:
                self._transport.abort()
        elif self._state == _LINGER:
            if age > _LINGER_TICKS:
                self._transport.abort()
        elif self._state != _IDLE:
            if age > request:
                self._give_up(408, f"the request did not arrive within {request} s")
        elif age > idle and self._task is None:
            self._transport.close()

    def close(self) -> None:
        """The end of a drain: let go of an idle connection; one that is being answered closes after that."""
        if self._task is None and self._state in (_IDLE, _LINGER):
            self._transport.close()

    def abort(self) -> None:
        """Let go of it at once."""
        self._transport.abort()
