"""What is done to keys before a database sees them: marks instead of names, wrapped keys. Pure but for nonces."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping

from serinus.errors import SerinusError
from serinus.privacy.master import MasterKey


class Wrapping:
    """The master key of one store, and the key of its marks, which the store keeps wrapped.

    Args:
        master: wraps the keys.
        reload: reads the master key anew where the present one does not fit: it may have been rotated.
    """

    def __init__(self, master: MasterKey, reload: Callable[[], MasterKey] | None = None) -> None:
        self._master = master
        self._reload = reload
        self._index = b""

    def new_index(self) -> dict[str, bytes]:
        """Make the key of the marks for a new store; what the store keeps of it, by name."""
        self._index = os.urandom(32)
        return self.index()

    def index(self) -> dict[str, bytes]:
        """What the store keeps: which master key it needs, and the key of the marks, wrapped."""
        return {"master": self._master.id.encode(), "index": self._master.wrap(self._index, b"index")}

    def open_index(self, kept: Mapping[str, bytes], where: str) -> None:
        """Take the key of the marks from a store. Raises ``SRN-PRIVACY-003`` another master key wraps it."""
        try:
            self._index = self._master.unwrap(kept["index"], b"index")
        except ValueError as error:
            raise self._foreign(kept["master"], where) from error

    def follow(self, needs: bytes, where: str) -> None:
        """Take the master key that the store needs now. Raises ``SRN-PRIVACY-003`` its file holds another."""
        if needs.decode() != self._master.id and self._reload is not None:
            self._master = self._reload()
        if needs.decode() != self._master.id:
            raise self._foreign(needs, where)

    def turned(self, master: MasterKey) -> Wrapping:
        """The same store's under another master key."""
        made = Wrapping(master, self._reload)
        made._index = self._index
        return made

    def mark(self, kind: str, subject: str) -> bytes:
        """What stands for a person: 32 bytes."""
        return hmac.digest(self._index, f"{kind}\0{subject}".encode(), "sha256")

    def wrap(self, key_id: str, mark: bytes, key: bytes) -> bytes:
        """A key as the store keeps it, bound to its row."""
        return self._master.wrap(key, _bound(key_id, mark))

    def unwrap(self, key_id: str, mark: bytes, wrapped: bytes) -> bytes:
        """The key again. Raises ValueError if no master key that we can find opens it."""
        try:
            return self._master.unwrap(wrapped, _bound(key_id, mark))
        except ValueError:
            if self._reload is not None:
                self._master = self._reload()
        try:
            return self._master.unwrap(wrapped, _bound(key_id, mark))
        except ValueError as error:
            raise ValueError(f"key {key_id} does not fit the master key") from error

    def _foreign(self, needs: bytes, where: str) -> SerinusError:
        return SerinusError(
            "SRN-PRIVACY-003",
            f"the master key {self._master.id} does not belong to this key store, which needs {needs.decode()}",
            where=f"{self._master.where}, {where}",
            hint="Name the right master key with SERINUS_MASTER_KEY, or the right store with SERINUS_SUBJECT_KEYS.",
        )


def _bound(key_id: str, mark: bytes) -> bytes:
    return b"subject key\0" + key_id.encode() + b"\0" + mark
