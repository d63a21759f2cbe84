"""Outcomes that come back late, by Seldon's feedback endpoint, kept to be joined by request id.

One JSON object a line: ``request_id``, ``time`` of arrival, ``reward`` and
``truth`` (the values sent, row by row) as sent, and the ``predictor`` asked.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from serving.scorer.refusal import Refusal, bad, decode_json
from serving.scorer.rows import Value, checked_id


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """One stored outcome."""

    request_id: str
    time: str
    predictor: str
    reward: float | None = None
    truth: list[list[Value]] | None = None


class FeedbackSink(Protocol):
    """Where outcomes are kept."""

    def append(self, feedback: Feedback) -> None:
        """Keep one. Raises OSError if it cannot."""
        ...


class FeedbackFile:
    """Appends to a file; several processes may share it, since a line is one write."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        self._lock = threading.Lock()
        self._torn = False

    def append(self, feedback: Feedback) -> None:
        """Append one line; in the page cache on return, on the disk after ``close``."""
        line = msgspec.json.encode(feedback) + b"\n"
        with self._lock:
            # A full disk may take half a line; the next one then starts afresh.
            line = b"\n" + line if self._torn else line
            self._torn = os.write(self._descriptor, line) < len(line)
            if self._torn:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Make the file durable and release it."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)


class FeedbackMemory:
    """Keeps outcomes in memory, for tests."""

    def __init__(self) -> None:
        self.kept: list[Feedback] = []

    def append(self, feedback: Feedback) -> None:
        """Keep one."""
        self.kept.append(feedback)


class _Meta(msgspec.Struct, frozen=True):
    puid: str | None = None


class _Tensor(msgspec.Struct, frozen=True):
    shape: list[int]
    values: list[float | None]


class _Data(msgspec.Struct, frozen=True):
    names: list[str] | None = None
    ndarray: list[Value | list[Value]] | None = None
    tensor: _Tensor | None = None


class _Message(msgspec.Struct, frozen=True):
    meta: _Meta | None = None
    data: _Data | None = None


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seldon's ``Feedback``."""

    request: _Message | None = None
    response: _Message | None = None
    reward: float | None = None
    truth: _Message | None = None
    routing: Any = None


_decoder = msgspec.json.Decoder(_Request)


def decode(body: bytes, header_id: str | None, predictor: str, now: Callable[[], float]) -> Feedback:
    """A feedback request as it is kept.

    Raises:
        Refusal: 400 if it is malformed, names no request, or holds no outcome.
    """
    message = decode_json(_decoder.decode, body)
    request_id = header_id
    for part, field in ((message.response, "response.meta.puid"), (message.request, "request.meta.puid")):
        if request_id is None and part is not None and part.meta is not None and part.meta.puid:
            request_id = checked_id(part.meta.puid, field)
    if request_id is None:
        raise bad("response.meta.puid", "is missing; an outcome is joined to its decision by the request id")
    truth = _values(message.truth)
    if truth is None and message.reward is None:
        raise bad("truth", "is missing; give truth.data, or a reward")
    at = datetime.fromtimestamp(now(), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return Feedback(request_id=request_id, time=at, predictor=predictor, reward=message.reward, truth=truth)


def _values(truth: _Message | None) -> list[list[Value]] | None:
    if truth is None or truth.data is None:
        return None
    if truth.data.ndarray is not None:
        return [item if isinstance(item, list) else [item] for item in truth.data.ndarray]
    if truth.data.tensor is not None:
        return [[value] for value in truth.data.tensor.values]
    return None


def keep(sink: FeedbackSink, feedback: Feedback) -> None:
    """Keep one outcome. Raises Refusal 503 if the disk does not take it."""
    try:
        sink.append(feedback)
    except OSError as error:
        raise Refusal(
            503, "", f"the feedback file cannot be written ({error.strerror}); send it again"
        ) from error
