"""One HTTP request as far as it is parsed, and the headers that are looked at."""

from __future__ import annotations

# Headers that a request may be asked for; every other one is passed over unread.
_WANTED = (
    b"seldon-puid",
    b"seldon-skip-logging",
    b"x-request-timeout-ms",
    b"x-envoy-expected-rq-timeout-ms",
    b"content-encoding",
    b"inference-header-content-length",
    b"serinus-subject",
)
LENGTH, EXPECT, CONNECTION, PASSED = b"content-length", b"expect", b"connection", b""
TYPE, CHUNKED = b"content-type", b"transfer-encoding"
_KNOWN = {name: name for name in (*_WANTED, LENGTH, EXPECT, CONNECTION, TYPE, CHUNKED)}


class _Names(dict[bytes, bytes]):
    """Header names as sent to the names looked for, or ``PASSED``."""

    def __missing__(self, name: bytes) -> bytes:
        found = _KNOWN.get(name.lower(), PASSED)
        if len(self) < 1000:  # senders' spellings are few; a stranger's must not grow it
            self[name] = found
        return found


names = _Names()


class Request:
    """One request as far as it is parsed. Only wanted headers are kept."""

    __slots__ = ("asked", "body", "headers", "keep_alive", "method", "url")

    def __init__(self) -> None:
        self.method = b""
        self.url = b""
        self.body: bytes | bytearray = b""
        self.headers: dict[bytes, bytes] = {}
        self.keep_alive = True
        self.asked = False
