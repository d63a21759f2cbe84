"""The scorer's OpenAPI 3.1 document, from the structs that decode its requests."""

from __future__ import annotations

from functools import cache

import msgspec


@cache
def document() -> bytes:
    """The document as JSON."""
    return msgspec.json.encode({"openapi": "3.1.0"})
