"""Unary gRPC over a raw socket: the few HTTP/2 frames (RFC 9113) that one call at a time needs.

grpcio's Python client costs more CPU a call than the server does, so that it would measure itself. Headers are
literals without Huffman coding or indexing (RFC 7541, 6.2.2), the same bytes each time.
"""

from __future__ import annotations

import socket
import struct

from .connections import State, connect

PATH = "/inference.GRPCInferenceService/ModelInfer"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_WIDE = 0x7FFF0000


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()


_HELLO = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + _frame(
        _SETTINGS, 0, 0, struct.pack(">HI", 4, _WIDE)
    )  # INITIAL_WINDOW_SIZE: answers are never held back
    + _frame(_WINDOW, 0, 0, struct.pack(">I", _WIDE))
)
_HEAD = (
    b"\x83\x86\x04" + _text(PATH) + b"\x01" + _text("scorer")  # POST, http, :path, :authority
    + b"\x0f\x10" + _text("application/grpc") + b"\x00" + _text("te") + _text("trailers")
)  # fmt: skip


class Grpc:
    """As ``connections.Http``; requests are bare protobuf messages."""

    __slots__ = (
        "_buffer", "_got", "_open", "_out", "_port", "_requests", "_stream", "_window", "answer", "failure", "sock",
    )  # fmt: skip

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self._port = port
        self._requests = requests
        self.failure = ""
        self.answer = b""
        self.sock: socket.socket | None = None
        self._reset()

    def _reset(self) -> None:
        self._buffer = self._got = self._out = b""
        self._stream = 1
        self._open = False
        self._window = (
            65535  # what the server takes before it says more; one call is far below a stream's own
        )

    def send(self, k: int) -> bool:
        """As ``Connection``; called again for the same request, it goes on where it had to stop."""
        if self.sock is None:
            self.sock = connect(self._port)
            self._out = _HELLO
        message = self._requests[k]
        if not self._open:
            if self._window < len(message) + 5 and not self._room(len(message) + 5):
                return False
            self._open = True
            self._window -= len(message) + 5
            body = b"\x00" + struct.pack(">I", len(message)) + message
            self._out += _frame(_HEADERS, _END_HEADERS, self._stream, _HEAD)
            for at in range(0, len(body), 16384):
                last = _END_STREAM if at + 16384 >= len(body) else 0
                self._out += _frame(_DATA, last, self._stream, body[at : at + 16384])
        return self._flush()

    def _room(self, size: int) -> bool:
        assert self.sock is not None
        try:
            self.feed(self.sock.recv(65536))
        except BlockingIOError:
            return False
        return self._window >= size

    def _flush(self) -> bool:
        assert self.sock is not None
        try:
            self._out = self._out[self.sock.send(self._out) :]
        except BlockingIOError:
            return False
        return not self._out

    def feed(self, data: bytes) -> State:
        """As ``Connection``. Acknowledges settings and pings as it goes."""
        data = self._buffer + data
        at, state = 0, State.MORE
        while len(data) >= at + 9:
            length = int.from_bytes(data[at : at + 3], "big")
            if len(data) < at + 9 + length:
                break
            kind, flags = data[at + 3], data[at + 4]
            payload = data[at + 9 : at + 9 + length]
            at += 9 + length
            if kind == _DATA:
                self._got += payload
            elif kind == _WINDOW and data[at - 4 - length : at - length] == b"\0\0\0\0":
                self._window += int.from_bytes(payload, "big")
            elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                self._out += _frame(kind, _ACK, 0, payload if kind == _PING else b"")
                self._flush()
            elif kind in (_RST, _GOAWAY):
                self.failure = "stream reset" if kind == _RST else "going away"
                state = State.FAILED
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                state = self._ended()
        self._buffer = data[at:]
        return state

    def _ended(self) -> State:
        """An error is trailers alone: a unary answer without a message."""
        got, self._got = self._got, b""
        self._stream += 2
        self._open = False
        if len(got) < 5:
            self.failure = "gRPC status"
            return State.FAILED
        self.answer = got[5:]
        return State.DONE

    def close(self) -> None:
        """As ``Connection``."""
        if self.sock is not None:
            self.sock.close()
        self.sock = None
        self._reset()


def call(port: int, message: bytes, timeout: float = 10) -> bytes | None:
    """One call on a connection of its own: the answer's message, or None for a status other than OK."""
    connection = Grpc(port, [message])
    try:
        connection.send(0)
        assert connection.sock is not None
        connection.sock.settimeout(timeout)
        while True:
            data = connection.sock.recv(65536)
            if not data:
                raise ConnectionError("closed before the answer")
            state = connection.feed(data)
            if state is not State.MORE:
                return connection.answer if state is State.DONE else None
    finally:
        connection.close()
