"""The port: objects by name below one place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from serinus.errors import SerinusError


class StoreUnavailable(SerinusError):  # noqa: N818  a state of the world
    """``SRN-STORE-004``: no answer, or a broken one. Worth another try, unlike every other error here."""


class ObjectStore(Protocol):
    """Objects by name. Names are relative to ``where`` and use ``/``.

    Every method raises ``SerinusError``: ``SRN-STORE-003`` not permitted,
    ``SRN-STORE-004`` (``StoreUnavailable``) no answer.
    """

    @property
    def where(self) -> str:
        """The place as a URI, for messages; it ends without ``/``."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of an object; None if there is none."""
        ...

    def read(self, name: str, start: int = 0) -> Iterator[bytes]:
        """The object's bytes from ``start`` on. Raises ``SRN-STORE-002`` if there is none."""
        ...

    def write(self, name: str, data: bytes | Path) -> None:
        """Put bytes, or a file's, there: whole or not at all."""
        ...


def absent(where: str) -> SerinusError:
    """``SRN-STORE-002``."""
    return SerinusError(
        "SRN-STORE-002",
        "there is no such object",
        where=where,
        hint="Check the URI letter by letter, and that what it names has been written (`serinus bundle push`).",
    )


def refused(where: str, why: str) -> SerinusError:
    """``SRN-STORE-003``."""
    return SerinusError(
        "SRN-STORE-003",
        f"access is refused ({why})",
        where=where,
        hint="Check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the service account's role) "
        "and what they may do there; a volume: its owner and mode.",
    )


def unavailable(where: str, why: str) -> StoreUnavailable:
    """``SRN-STORE-004``."""
    return StoreUnavailable(
        "SRN-STORE-004",
        f"the store gives no answer ({why})",
        where=where,
        hint="Check AWS_ENDPOINT_URL, the network from here to there, and the store's health; without credentials "
        "in the environment the machine's own metadata service is asked for them.",
    )


def altered(where: str, why: str) -> SerinusError:
    """``SRN-STORE-006``."""
    return SerinusError(
        "SRN-STORE-006",
        f"what lies there is not what it should be ({why})",
        where=where,
        hint="It was altered or damaged at its place. Write it there again from its source.",
    )
