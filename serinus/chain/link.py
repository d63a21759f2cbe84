"""The chain itself, without files: bodies in, lines out, each committing to the one before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

GENESIS = "0" * 64
"""``prev`` of the first entry."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the log; ``body`` is kept as raw JSON, since the hash is over its bytes."""

    seq: int
    prev: str
    hash: str
    body: msgspec.Raw


class NotAnEntry(ValueError):  # noqa: N818  what a line is
    """A line that cannot be read as an entry; the message says why."""


_decode = msgspec.json.Decoder(Entry).decode


def decode_entry(line: bytes) -> Entry:
    """A line's entry. Raises NotAnEntry."""
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnEntry(str(error)) from error


def entry_hash(prev: bytes, seq: int, body: bytes) -> bytes:
    """The entry's hash: 64 hexadecimal digits."""
    return hashlib.sha256(b"%b\n%d\n%b" % (prev, seq, body)).hexdigest().encode()


class Linker:
    """The head of a chain, and how it grows. No I/O: what is linked is not yet written.

    Attributes:
        seq: number of the last entry, 0 before the first.
        head: its hash.
    """

    __slots__ = ("head", "seq")

    def __init__(self, seq: int = 0, head: str = GENESIS) -> None:
        self.seq = seq
        self.head = head

    def link(self, bodies: Iterable[bytes]) -> list[bytes]:
        """Lines (with their newline) for JSON bodies that follow the head, which moves to the last."""
        seq, head = self.seq, self.head.encode()
        sha256 = hashlib.sha256
        lines: list[bytes] = []
        for body in bodies:
            seq += 1
            digest = sha256(b"%b\n%d\n%b" % (head, seq, body)).hexdigest().encode()
            lines.append(b'{"seq":%d,"prev":"%b","hash":"%b","body":%b}\n' % (seq, head, digest, body))
            head = digest
        self.seq, self.head = seq, head.decode()
        return lines
