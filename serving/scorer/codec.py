"""What a wire protocol is to the service, and what the service gives back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from serinus.model import Answer, Vectorizer
from serinus.model.answers import Answers
from serving.scorer.identity import Identity
from serving.scorer.rows import Parsed


class Codec(Protocol):
    """A wire protocol: the modules ``v1`` and ``v2``, and gRPC's.

    A body is ``bytes`` in JSON protocols and a message in gRPC.
    """

    PROTOCOL: str

    def decode(self, body: Any, vectorizer: Vectorizer) -> Parsed:
        """Rows of a request; raises Refusal."""
        ...

    def encode(
        self, answers: Sequence[Answer] | Answers, parsed: Parsed, request_id: str, identity: Identity
    ) -> Any:
        """The answer's body."""
        ...

    def encode_error(self, status: int, message: str) -> Any:
        """An error's body; ``status`` is HTTP's."""
        ...

    def payload(self, body: Any) -> bytes:
        """A request or an answer as the JSON that the drift monitor reads."""
        ...

    def size(self, body: Any, /) -> int:
        """Bytes of a body; large ones are answered in a thread."""
        ...


class Reply(msgspec.Struct, frozen=True):
    """What is sent back.

    ``retry_after`` is in seconds, 0 for no such advice; ``headers`` are lines that
    stand for HTTP's default ``content-type: application/json``. ``monitored`` is what the
    drift monitor reads instead of the request's body; empty for nothing.
    """

    status: int
    body: Any
    request_id: str = ""
    retry_after: int = 0
    headers: bytes = b""
    monitored: bytes | None = None

    @property
    def plain(self) -> bool:
        """Whether it is JSON under a request id, and nothing more."""
        return not (self.retry_after or self.headers) and self.request_id != ""


_ids: list[str] = []


def new_id() -> str:
    """A request id for a request that brought none: 128 random bits in hexadecimal."""
    try:
        return _ids.pop()
    except IndexError:
        # One call to the kernel for many: it costs as much as decoding a request.
        text = os.urandom(16 * 256).hex()
        _ids.extend(text[i : i + 32] for i in range(32, len(text), 32))
        return text[:32]
