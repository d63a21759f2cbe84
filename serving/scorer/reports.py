"""Errors as JSON lines on stderr, each kind so often that it is seen and no more."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import msgspec

from serinus.errors import SerinusError

_OFTEN = 10
_SECONDS = 60.0


def _to_stderr(line: str) -> None:
    sys.stderr.write(line)
    sys.stderr.flush()


class Reports:
    """Tells errors, of each code the first ten in a minute; the next line says how many were left out.

    A model that fails at every request must not fill the disk that the decision log needs.
    """

    def __init__(
        self, write: Callable[[str], None] = _to_stderr, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}

    def __call__(self, error: SerinusError) -> None:
        """Tell it, or count it."""
        now = self._clock()
        since, count = self._seen.get(error.code, (now, 0))
        left_out = 0
        if now - since >= _SECONDS:
            left_out = max(0, count - _OFTEN)
            since, count = now, 0
        self._seen[error.code] = (since, count + 1)
        if count < _OFTEN:
            line: dict[str, object] = {"level": "error", **error.to_dict()}
            if left_out:
                line["left_out"] = left_out
            self._write(msgspec.json.encode(line).decode() + "\n")
