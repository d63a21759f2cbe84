"""From the service's answers, which speak HTTP, to gRPC's status codes."""

from __future__ import annotations

from collections.abc import Mapping

import grpc

_CODES: Mapping[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def code(status: int) -> grpc.StatusCode:
    """The gRPC code for an HTTP status; UNKNOWN for one the service does not give."""
    return _CODES.get(status, grpc.StatusCode.UNKNOWN)


def ascii_only(text: str) -> str:
    """Metadata values are printable ASCII; what is not becomes ``?``."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
