"""A V2 body with binary tensors behind its JSON (the binary tensor data extension)."""

from __future__ import annotations

from serving.scorer.refusal import Refusal


class Framed(bytes):
    """The whole body; the JSON is its first ``header_length`` bytes."""

    header_length: int

    @classmethod
    def of(cls, body: bytes, length: bytes | int) -> Framed:
        """A body with the length that ``Inference-Header-Content-Length`` gives.

        Raises:
            Refusal: 400 if that is not a length within the body.
        """
        made = cls(body)
        text = length if isinstance(length, bytes) else b"%d" % length
        if not (text.isdigit() and len(text) <= 12 and int(text) <= len(body)):
            raise Refusal(400, "Inference-Header-Content-Length", f"is not a length within {len(body)} bytes")
        made.header_length = int(text)
        return made

    @property
    def json(self) -> bytes:
        """The JSON part."""
        return bytes(memoryview(self)[: self.header_length])

    @property
    def tensors(self) -> memoryview:
        """What follows the JSON."""
        return memoryview(self)[self.header_length :]

    @property
    def headers(self) -> bytes:
        """Header lines that say so."""
        return (
            b"content-type: application/octet-stream\r\ninference-header-content-length: %d\r\n"
            % self.header_length
        )
