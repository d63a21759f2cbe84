"""What gRPC's codecs are handed as a body."""

from __future__ import annotations

import msgspec
from google.protobuf.message import DecodeError

from serving.scorer.grpc.messages import Message
from serving.scorer.refusal import bad


class Body(msgspec.Struct, frozen=True):
    """A parsed message and the bytes it had on the wire."""

    message: Message
    size: int


def parse(kind: Message, raw: bytes) -> Body:
    """A message of a class of ``messages``. Raises Refusal 400 if the bytes are none."""
    try:
        return Body(kind.FromString(raw), len(raw))
    except DecodeError as error:
        raise bad("", f"the body is not a {kind.DESCRIPTOR.full_name} message ({error})") from error


def size(body: Body) -> int:
    """Bytes of a request."""
    return body.size
