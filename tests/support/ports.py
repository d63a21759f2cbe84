"""Ports of this machine: one that stays free until it is used, and one at which nobody answers."""

from __future__ import annotations

import random
import socket
from collections.abc import Generator
from contextlib import contextmanager

_OURS = range(10_240, 29_900)
"""Below those that the kernel gives to whoever asks for any, and to every connection that goes out."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port of that address at which nobody listens."""
    for port in random.SystemRandom().sample(_OURS, 200):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


@contextmanager
def refusing() -> Generator[int]:
    """A port at which connections are refused for as long as this lasts: it is taken, and not listened at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])
