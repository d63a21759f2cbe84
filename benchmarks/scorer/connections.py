"""One request at a time over a kept-alive socket, for HTTP/1.1; ``grpc_wire`` has the same shape for gRPC."""

from __future__ import annotations

import errno
import socket
from enum import IntEnum
from typing import Protocol


class State(IntEnum):
    """What a piece of an answer meant."""

    MORE = 0
    DONE = 1
    DONE_AND_CLOSED = 2
    FAILED = 3


class Connection(Protocol):
    """A connection of the load generator.

    Attributes:
        sock: None until the first request and after a close.
        failure: why the last answer was ``FAILED``.
        answer: the last whole answer's body.
    """

    sock: socket.socket | None
    failure: str
    answer: bytes

    def send(self, k: int) -> bool:
        """Send request number k, connecting first where needed; False if the socket takes no bytes yet."""
        ...

    def feed(self, data: bytes) -> State:
        """Take what the socket gave."""
        ...

    def close(self) -> None:
        """Forget the socket and half an answer."""
        ...


def connect(port: int) -> socket.socket:
    """A socket whose connection may still be under way: the caller never waits for a slow server's backlog."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    if (code := sock.connect_ex(("127.0.0.1", port))) not in (0, errno.EINPROGRESS):
        sock.close()
        raise ConnectionError(errno.errorcode.get(code, str(code)))
    return sock


class Http:
    """HTTP/1.1. Answers have a ``Content-Length`` or are chunked."""

    __slots__ = ("_buffer", "_port", "_requests", "_sent", "answer", "failure", "sock")

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self.sock: socket.socket | None = None
        self.failure = ""
        self.answer = b""
        self._port = port
        self._requests = requests
        self._buffer = b""
        self._sent = 0

    def send(self, k: int) -> bool:
        """As ``Connection``; called again for the same request, it goes on where the socket was full."""
        if self.sock is None:
            self.sock = connect(self._port)
        message = self._requests[k]
        try:
            self._sent += self.sock.send(message[self._sent :] if self._sent else message)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.ENOTCONN:
                return False
            raise
        if self._sent < len(message):
            return False
        self._sent = 0
        return True

    def feed(self, data: bytes) -> State:
        """As ``Connection``."""
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = data
            return State.MORE
        head = data[:end].lower()
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            stop = head.find(b"\r\n", at + 17)
            length = int(head[at + 17 : stop if stop >= 0 else end])
            if len(data) < end + 4 + length:
                self._buffer = data
                return State.MORE
        elif not data.endswith(b"0\r\n\r\n"):
            self._buffer = data
            return State.MORE
        self._buffer = b""
        self.answer = data[end + 4 :]
        if data[9:12] != b"200":
            self.failure = f"status {data[9:12].decode(errors='replace')}"
            return State.FAILED
        return State.DONE_AND_CLOSED if b"connection: close" in head else State.DONE

    def close(self) -> None:
        """As ``Connection``."""
        if self.sock is not None:
            self.sock.close()
        self.sock = None
        self._buffer = b""
        self._sent = 0
