"""What the headers say of a body: compression, a form, binary tensors, and the time it allows."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from urllib.parse import parse_qs

from serving.scorer.framing import Framed
from serving.scorer.refusal import Refusal
from serving.scorer.request import Request

# What is inflated at once, in some 0.2 ms; the rest, if there is more, in a thread.
_AT_ONCE = 64 << 10


class Inflating:
    """A compressed body of which the beginning is inflated."""

    def __init__(self, body: bytes, limit: int) -> None:
        self._limit = limit
        self._stream = zlib.decompressobj(wbits=47)  # gzip or zlib, told by its first bytes
        self._first = self._inflate(body, min(_AT_ONCE, limit + 1))

    @property
    def whole(self) -> bool:
        """Whether that was all."""
        return self._stream.eof

    def finish(self) -> bytes:
        """The whole body.

        Raises:
            Refusal: 413 if it is larger than allowed, 400 if it is damaged.
        """
        rest = b""
        if not self._stream.eof:
            rest = self._inflate(self._stream.unconsumed_tail, self._limit + 1 - len(self._first))
        if len(self._first) + len(rest) > self._limit:
            raise Refusal(413, "", f"the body inflates to more than {self._limit:,} bytes; send fewer rows")
        if not self._stream.eof:
            raise Refusal(400, "Content-Encoding", "the compressed body ends early")
        return self._first + rest

    def _inflate(self, data: bytes, most: int) -> bytes:
        try:
            return self._stream.decompress(data, max(most, 1))
        except zlib.error as error:
            raise Refusal(400, "Content-Encoding", f"the body is not gzip ({error})") from error


def read(request: Request, limit: int, binary: bool) -> bytes | Inflating:
    """The body as a codec reads it, or a large compressed one to be finished in a thread.

    Args:
        limit: bytes it may have once inflated.
        binary: whether tensors may follow the JSON.

    Raises:
        Refusal: 400, 413 or 415, naming the header.
    """
    body = bytes(request.body)
    encoding = request.headers.get(b"content-encoding", b"identity").lower()
    if encoding in (b"gzip", b"x-gzip", b"deflate"):
        inflating = Inflating(body, limit)
        if not inflating.whole:
            return inflating
        body = inflating.finish()
    elif encoding != b"identity":
        raise Refusal(415, "Content-Encoding", "is not supported; send gzip, deflate or plain JSON")
    return framed(request, body, binary)


def framed(request: Request, body: bytes, binary: bool) -> bytes:
    """An inflated body with what the other headers say of it. Raises as ``read``."""
    length = request.headers.get(b"inference-header-content-length")
    if length is not None:
        if not binary:
            raise Refusal(415, "Inference-Header-Content-Length", "binary tensors belong to the V2 protocol")
        return Framed.of(body, length)
    if request.headers.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded"):
        return _form(body)
    return body


def _form(body: bytes) -> bytes:
    """The ``json`` field of a form, as Seldon's wrapper takes it; JSON that is only labelled a form."""
    if body.lstrip()[:1] == b"{":
        return body
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=16)
    except ValueError as error:
        raise Refusal(400, "", f"the body is not a form ({error})") from error
    if "json" not in fields:
        raise Refusal(400, "json", "is missing in the form; or send JSON as application/json")
    return fields["json"][-1].encode()


def budget(headers: Mapping[bytes, bytes]) -> float | None:
    """Seconds that the sender, or Envoy on its behalf, gives for the answer.

    Raises:
        Refusal: 400 if it is not a number of milliseconds.
    """
    for name, shown in (
        (b"x-request-timeout-ms", "X-Request-Timeout-Ms"),
        (b"x-envoy-expected-rq-timeout-ms", "X-Envoy-Expected-Rq-Timeout-Ms"),
    ):
        text = headers.get(name)
        if text is not None:
            if not (text.isdigit() and len(text) <= 9):
                raise Refusal(400, shown, "is not a whole number of milliseconds")
            return int(text) / 1000
    return None
