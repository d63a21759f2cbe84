"""One sealed entry: how it is made, and how it is read. Pure but for the random nonce.

A sealed body is an event whose data end in ``"key":"<id>","sealed":"<base64>"``. Sealed are
the 12 bytes of a random nonce, then the ciphertext and tag (AES-256-GCM, NIST SP 800-38D) of what
would stand there. All bytes of the body before ``"key"`` are associated data: request id, time
and model cannot be exchanged under a ciphertext, nor a ciphertext moved to another entry.
"""

from __future__ import annotations

import os
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Callable
from typing import Literal, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEALED_TYPE = "io.serinus.decision.sealed.v1"
Seal = Callable[[bytes, bytes], bytes]
"""From an entry's clear beginning and what is to be sealed to what stands in its place."""
_NONCE = 12
_KEY, _SEALED = b'"key":"', b'","sealed":"'


class SubjectKey:
    """One key of one person, ready to seal.

    Random nonces of 96 bits allow 2^32 entries under one key (SP 800-38D, 8.3).

    Args:
        key_id: 32 hexadecimal digits, random.
        key: 32 bytes.
    """

    __slots__ = ("_encrypt", "_head", "id")

    def __init__(self, key_id: str, key: bytes) -> None:
        self.id = key_id
        self._encrypt = AESGCM(key).encrypt
        self._head = _KEY + key_id.encode() + _SEALED

    def __call__(self, clear: bytes, plain: bytes) -> bytes:
        """See ``Seal``."""
        nonce = os.urandom(_NONCE)
        return b'%b%b"' % (
            self._head,
            b2a_base64(nonce + self._encrypt(nonce, plain, clear), newline=False),
        )


class Withheld(Exception):  # noqa: N818  a verdict, not a fault
    """A sealed entry that stays closed: whose key it has, and why."""

    Verdict = Literal["erased", "no_key", "unreadable"]

    def __init__(self, key: str, verdict: Verdict, why: str, erased_at: str | None = None) -> None:
        super().__init__(why)
        self.key = key
        self.verdict: Withheld.Verdict = verdict
        self.why = why
        self.erased_at = erased_at


class Keys(Protocol):
    """Where keys are found."""

    def key(self, key_id: str) -> bytes:
        """The key of that id, 32 bytes. Raises Withheld."""
        ...


class NoKeys:
    """Where there are none."""

    def key(self, key_id: str) -> bytes:
        """Raises Withheld."""
        raise Withheld(key_id, "no_key", "it is sealed, and no key store was given")


def key_of(body: bytes) -> str | None:
    """The id of the key that an entry is sealed with; None if it is not sealed."""
    at = body.find(_KEY)
    end = body.find(_SEALED, at) if at >= 0 else -1
    return body[at + len(_KEY) : end].decode() if end >= 0 else None


def unsealed(body: bytes, keys: Keys, type_: str) -> bytes:
    """The body as if it had never been sealed, with ``type_`` as its type; as it is, if it was not.

    Raises:
        Withheld: its key is destroyed or not here, or does not open it.
    """
    key_id = key_of(body)
    if key_id is None:
        return body
    start = body.index(_KEY)
    at = body.index(_SEALED, start) + len(_SEALED)
    end = body.find(b'"', at)
    clear = body[:start]
    try:
        sealed = a2b_base64(body[at:end])
        plain = AESGCM(keys.key(key_id)).decrypt(sealed[:_NONCE], sealed[_NONCE:], clear)
    except (InvalidTag, Error, ValueError) as error:
        why = "it was altered, or the key store is of another installation"
        raise Withheld(key_id, "unreadable", why) from error
    rest = body[end + 1 :].replace(SEALED_TYPE.encode(), type_.encode(), 1)
    return clear + plain + rest
