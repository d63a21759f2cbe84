"""Outcomes that come back late, by Seldon's feedback endpoint, kept to be joined by request id.

One JSON object a line, as ``serinus.events.Feedback``.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from serinus.cards import holds_card_number
from serinus.errors import SerinusError
from serinus.events import Feedback
from serving.scorer.commit import GroupCommit
from serving.scorer.records import LONGEST
from serving.scorer.refusal import Refusal, bad, decode_json
from serving.scorer.rows import Value, checked_id

__all__ = ["Feedback", "FeedbackFile", "FeedbackMemory", "FeedbackSink", "decode", "keep"]


_MOST_ROWS = 20_000
"""As many as a request may hold."""
_LONGEST_ROW = 100


class FeedbackSink(Protocol):
    """Where outcomes are kept."""

    def append(self, feedback: Feedback) -> Awaitable[None] | None:
        """Keep one; an awaitable where that takes time. Raises OSError or SerinusError if it cannot."""
        ...


class FeedbackFile:
    """Appends to a file; several processes may share it, since a line is one write.

    Args:
        durability: ``strict``: acknowledged when on the disk, one sync for all who
            wait. ``relaxed``: acknowledged when the operating system has it, which a
            crash of the process does not undo; on the disk within ``interval``.
        interval: seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: Literal["strict", "relaxed"] = "relaxed",
        interval: float = 0.05,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        self._lock = threading.Lock()
        self._torn = False
        self._interval = interval
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feedback")
        self._commit = GroupCommit(self._store, self._thread) if durability == "strict" else None
        self._sync_due = False

    def append(self, feedback: Feedback) -> Awaitable[None] | None:
        """Append one line. Raises OSError, or gives what fails with SerinusError."""
        line = msgspec.json.encode(feedback) + b"\n"
        if self._commit is not None:
            return self._commit.add(line)
        self._write(line)
        if not self._sync_due:
            self._sync_due = True
            asyncio.get_running_loop().call_later(self._interval, self._sync_soon)
        return None

    def close(self) -> None:
        """Make the file durable and release it."""
        self._thread.shutdown()
        if self._descriptor >= 0:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, lines: bytes) -> None:
        with self._lock:
            # A full disk may take half a line; the next one then starts afresh.
            lines = b"\n" + lines if self._torn else lines
            self._torn = os.write(self._descriptor, lines) < len(lines)
            if self._torn:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _store(self, lines: Sequence[bytes]) -> None:
        try:
            self._write(b"".join(lines))
            os.fsync(self._descriptor)
        except OSError as error:
            raise SerinusError(
                "SRN-SCORER-006",
                f"outcomes cannot be written ({error.strerror})",
                where=str(self.path),
                hint="Free space or mend the permissions; whoever sent them was told to send them again.",
            ) from error

    def _sync_soon(self) -> None:
        self._sync_due = False
        if self._descriptor >= 0:
            self._thread.submit(os.fsync, self._descriptor)


class FeedbackMemory:
    """Keeps outcomes in memory, for tests."""

    def __init__(self) -> None:
        self.kept: list[Feedback] = []

    def append(self, feedback: Feedback) -> Awaitable[None] | None:
        """Keep one."""
        self.kept.append(feedback)
        return None


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
    # The body's id first: Seldon's executor gives the feedback call itself a new id in the header.
    request_id = None
    for part, field in ((message.response, "response.meta.puid"), (message.request, "request.meta.puid")):
        if request_id is None and part is not None and part.meta is not None and part.meta.puid:
            request_id = checked_id(part.meta.puid, field)
    request_id = request_id or header_id
    if request_id is None:
        raise bad("response.meta.puid", "is missing; an outcome is joined to its decision by the request id")
    truth = _values(message.truth)
    if truth is not None and len(truth) > _MOST_ROWS:
        raise bad("truth.data", f"holds {len(truth):,} rows; an outcome has {_MOST_ROWS:,} at most")
    for i, row in enumerate(truth or ()):
        _check(i, row)
    if truth is None and message.reward is None:
        raise bad("truth", "is missing; give truth.data, or a reward")
    at = datetime.fromtimestamp(now(), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return Feedback(request_id=request_id, time=at, predictor=predictor, reward=message.reward, truth=truth)


def _check(i: int, row: Sequence[Value]) -> None:
    if len(row) > _LONGEST_ROW:
        raise bad(f"truth.data[{i}]", f"holds {len(row):,} values; a row has {_LONGEST_ROW:,} at most")
    for value in row:
        if isinstance(value, str | int):
            text = str(value)
            if len(text) > LONGEST:
                raise bad(
                    f"truth.data[{i}]", f"has {len(text):,} characters; an outcome has {LONGEST} at most"
                )
            if holds_card_number(text):
                raise bad(f"truth.data[{i}]", "holds what looks like a card number, which is never kept")


def _values(truth: _Message | None) -> list[list[Value]] | None:
    if truth is None or truth.data is None:
        return None
    if truth.data.ndarray is not None:
        return [item if isinstance(item, list) else [item] for item in truth.data.ndarray]
    if truth.data.tensor is not None:
        return [[value] for value in truth.data.tensor.values]
    return None


def keep(sink: FeedbackSink, feedback: Feedback) -> Awaitable[None] | None:
    """Keep one outcome; what it gives must be awaited before it is acknowledged.

    Raises:
        Refusal: 503 if the disk does not take it; the awaitable too.
    """
    try:
        kept = sink.append(feedback)
    except (OSError, SerinusError) as error:
        raise _unkept(error) from error
    return None if kept is None else _kept(kept)


async def _kept(waiting: Awaitable[None]) -> None:
    try:
        await waiting
    except (OSError, SerinusError) as error:
        raise _unkept(error) from error


def _unkept(error: OSError | SerinusError) -> Refusal:
    why = error.what if isinstance(error, SerinusError) else error.strerror
    return Refusal(503, "", f"the feedback file cannot be written ({why}); send it again")
