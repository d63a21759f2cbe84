"""urllib whose timeout is that of the whole exchange, not of each read: a peer that drips holds nobody up."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
import urllib.request
from typing import Any, cast


def timed_handlers(tls: ssl.SSLContext) -> tuple[urllib.request.BaseHandler, ...]:
    """For ``build_opener``. What takes longer than the timeout ends in a TimeoutError, wherever it is by then.

    Each address of the server's name is tried for that long; the time of looking the name up is the resolver's.

    Args:
        tls: what servers are verified by.
    """
    return _Http(), _Https(tls)


class _Connection(http.client.HTTPConnection):
    def __init__(self, host: str, *, timeout: float, **more: Any) -> None:
        super().__init__(host, timeout=timeout, **more)
        self._within = timeout
        self._end = time.monotonic() + timeout
        self.response_class = cast("type[http.client.HTTPResponse]", self._answer)

    def send(self, data: Any) -> None:
        """As it does, in what is left of the time: a timeout is that of all that is sent by one call."""
        if self.sock is None:
            self.connect()
        self.hurry(cast("socket.socket", self.sock))
        super().send(data)

    def hurry(self, sock: socket.socket) -> None:
        """What is done on the socket next may take what is left. Raises TimeoutError: nothing is."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the exchange was not over after {self._within:g} s")
        sock.settimeout(left)

    def _answer(self, sock: socket.socket, *args: Any, **more: Any) -> http.client.HTTPResponse:
        answer = http.client.HTTPResponse(sock, *args, **more)
        raw = answer.fp.detach()
        answer.fp = io.BufferedReader(_Hurried(raw, sock, self))
        return answer


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    """The same over TLS; the handshake has a timeout of its own, as long."""


class _Hurried(io.RawIOBase):
    """Each read in what is left of the connection's time."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, connection: _Connection) -> None:
        self._raw, self._sock, self._connection = raw, sock, connection

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """As of the socket's file."""
        self._connection.hurry(self._sock)
        return cast("Any", self._raw).readinto(buffer)

    def close(self) -> None:
        """The socket ends with its file."""
        self._raw.close()
        super().close()


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(cast("Any", _Connection), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(context=tls)
        self._tls = tls

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(cast("Any", _SecureConnection), req, context=self._tls)
