"""Waiting for a cluster: it has no clock that a test could turn."""

from __future__ import annotations

import time
from collections.abc import Callable

from .kube import BusyError


class NotYetError(AssertionError):
    """What was waited for did not come; the message is the last that was seen."""


def eventually[T](look: Callable[[], T], seconds: float = 120.0, every: float = 0.5, what: str = "") -> T:
    """Look until it answers with something true, without an AssertionError. An API server that is busy is asked again.

    Raises:
        NotYetError: after ``seconds``, saying what was seen last.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            seen = look()
            if seen:
                return seen
            last = repr(seen)
        except (AssertionError, BusyError) as error:
            last = str(error)
        if time.monotonic() > deadline:
            raise NotYetError(f"{what or look.__name__}: not after {seconds:g} s; last: {last[:4000]}")
        time.sleep(every)


def always[T](look: Callable[[], T], seconds: float, every: float = 0.5) -> None:
    """It must stay true for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert look(), "it did not stay so"
        time.sleep(every)
