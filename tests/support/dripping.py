"""Peers that answer byte by byte, or read as slowly."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

Serve = Callable[[socket.socket, threading.Event], None]

PACE = 0.05
"""Seconds between two bytes: far less than the timeout of a read; all of them take far longer than it."""


@contextmanager
def peer(serve: Serve, tls: ssl.SSLContext | None) -> Generator[str]:
    """Answers one caller; the URL."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            with suppress(OSError):  # the caller is gone, as it should be
                taken, _ = listening.accept()
                taken.settimeout(120)
                with taken if tls is None else tls.wrap_socket(taken, server_side=True) as caller:
                    serve(caller, over)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)  # nobody has to have called
            thread.join()


def answering(whole: bytes, at_once: int, pace: float, *, asked: bytes = b"{}") -> Serve:
    """Once what it was sent ends with ``asked``: so many bytes at once, then one after each ``pace`` seconds."""

    def serve(caller: socket.socket, over: threading.Event) -> None:
        while not (part := caller.recv(1 << 16)).endswith(asked):
            if not part:
                return  # the caller's time was over before it had asked
        caller.sendall(whole[:at_once])
        for byte in whole[at_once:]:
            if over.wait(pace):
                return
            caller.sendall(bytes([byte]))

    return serve


def reading(whole: bytes, *, asked: bytes = b"{}") -> Serve:
    """Reads slowly, 16 MiB in half a minute, and then answers."""

    def serve(caller: socket.socket, over: threading.Event) -> None:
        while (part := caller.recv(1 << 14)) and not over.wait(PACE / 2):
            if part.endswith(asked):
                caller.sendall(whole)
                return

    return serve
