"""The key that wraps all others, from a file: on Kubernetes a mounted secret."""

from __future__ import annotations

import hashlib
import os
import tempfile
from binascii import Error, a2b_base64, b2a_base64
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from serinus.errors import SerinusError
from serinus.home import fsync_directory

_SIZE = 32


class MasterKey:
    """Wraps subject keys with AES-256-GCM; each stays bound to its row in the store.

    Args:
        key: 32 bytes.
        where: its file, for messages.
    """

    def __init__(self, key: bytes, where: str = "") -> None:
        self._cipher = AESGCM(key)
        self.where = where
        self.id = hashlib.sha256(b"serinus master key id\0" + key).hexdigest()[:16]

    @classmethod
    def load(cls, path: Path) -> MasterKey:
        """The key in a file: 32 bytes as base64.

        Raises:
            SerinusError: ``SRN-PRIVACY-001`` it cannot be read or is none.
        """
        try:
            text = path.read_bytes()
        except OSError as error:
            raise _unusable(path, f"the master key cannot be read ({error.strerror})") from error
        try:
            key = a2b_base64(text.strip(), strict_mode=True)
        except (Error, ValueError):
            key = b""
        if len(key) != _SIZE:
            raise _unusable(path, "this is no master key: 32 random bytes in base64 are expected")
        return cls(key, str(path))

    @classmethod
    def create(cls, path: Path) -> MasterKey:
        """A new key in a new file, readable by its owner only; the one there is, if there is one.

        Raises:
            SerinusError: ``SRN-PRIVACY-001``.
        """
        key = os.urandom(_SIZE)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A name of its own: the programs of two containers have the same process id.
            descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(b2a_base64(key))
                    file.flush()
                    os.fsync(file.fileno())
                # Whole under its name or not there; of two first starts at once one makes it, the other reads it.
                os.link(aside, path)
            except FileExistsError:
                return cls.load(path)
            finally:
                Path(aside).unlink()
            fsync_directory(path.parent)
        except OSError as error:
            raise _unusable(path, f"the master key cannot be made ({error.strerror})") from error
        return cls(key, str(path))

    def wrap(self, key: bytes, bound: bytes) -> bytes:
        """Nonce, ciphertext and tag of a key that belongs to what ``bound`` says."""
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, key, bound)

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        """The key again. Raises ValueError if it was wrapped by another master key or for another row."""
        try:
            return self._cipher.decrypt(wrapped[:12], wrapped[12:], bound)
        except InvalidTag:
            raise ValueError("not wrapped by this master key") from None


def _unusable(path: Path, what: str) -> SerinusError:
    return SerinusError(
        "SRN-PRIVACY-001",
        what,
        where=str(path),
        hint="Name the file of the installation's master key with SERINUS_MASTER_KEY; without it nothing that "
        "is sealed can be read or erased. `openssl rand -base64 32` makes one for a new installation.",
    )
