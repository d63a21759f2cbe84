"""Signing, and the key that signs (ed25519, RFC 8032)."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from serinus.bundle.key_facts import check_may_sign
from serinus.errors import SerinusError
from serinus.home import atomic_write, fsync_directory


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signature over a bundle's digest (its ASCII text)."""

    algorithm: str
    key_id: str
    value: str


def key_id(public: Ed25519PublicKey) -> str:
    """The first 16 hex digits of the SHA-256 of the raw public key."""
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def public_pem(public: Ed25519PublicKey) -> bytes:
    """A public key as a PEM file has it."""
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class SigningKey:
    """The private half, kept in ``signing.pem`` with mode 0600."""

    private: Ed25519PrivateKey

    @classmethod
    def load_or_create(cls, directory: Path) -> SigningKey:
        """The key of this installation; made, and its public half trusted, on first use.

        Raises:
            SerinusError: ``SRN-KEY-001`` if the file is not an ed25519 private key.
        """
        path = directory / "signing.pem"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            made = cls(Ed25519PrivateKey.generate())
            trusted = made.trust_in(
                directory
            )  # first: broken off after the other half, nobody would trust it
            try:
                made.write(path)
            except FileExistsError:  # of two first runs at once one makes the key, the other reads it
                trusted.unlink()
                return cls.load_or_create(directory)
            fsync_directory(directory)
        return cls.load(directory)

    @classmethod
    def load(cls, directory: Path) -> SigningKey:
        """The key of a directory, where making a new one would be a mistake.

        Raises:
            SerinusError: ``SRN-KEY-003`` there is none; ``SRN-KEY-001`` it is not an ed25519 private key;
                ``-004`` it must not sign any more (or yet): retired, or outside its validity.
        """
        key = cls.read(directory / "signing.pem")
        check_may_sign(directory, key.id, time.time())
        return key

    @classmethod
    def read(cls, path: Path) -> SigningKey:
        """The private key in a file, whether or not it may sign. Raises ``SRN-KEY-001`` and ``-003``."""
        try:
            loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except FileNotFoundError as error:
            raise SerinusError(
                "SRN-KEY-003",
                f"there is no signing key here (no {path.name})",
                where=str(path.parent),
                hint="Put an ed25519 private key there, or in the secret that is mounted there; `serinus pipeline run` "
                "makes one in <home>/keys.",
            ) from error
        except (ValueError, TypeError, OSError) as error:
            raise bad_key(path, str(error)) from error
        if not isinstance(loaded, Ed25519PrivateKey):
            raise bad_key(path, f"it is a {type(loaded).__name__}")
        return cls(loaded)

    @property
    def id(self) -> str:
        """The id of the public half."""
        return key_id(self.private.public_key())

    def sign(self, digest: str) -> Signature:
        """Sign a digest."""
        return Signature("ed25519", self.id, self.private.sign(digest.encode()).hex())

    def write(self, path: Path) -> None:
        """Write the private half, readable by the owner only, whole or not at all.

        Raises FileExistsError if there is such a file, OSError if the disk does not take it.
        """
        pem = self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(file.fileno())
            os.link(aside, path)
        finally:
            Path(aside).unlink()

    def trust_in(self, directory: Path) -> Path:
        """Write the public half among the trusted keys of a directory."""
        public = self.private.public_key()
        path = directory / f"trusted-{key_id(public)}.pem"
        atomic_write(path, public_pem(public))
        return path


def bad_key(path: Path, why: str) -> SerinusError:
    """``SRN-KEY-001``."""
    return SerinusError(
        "SRN-KEY-001",
        f"not a usable ed25519 key ({why})",
        where=str(path),
        hint="Give an ed25519 key in PEM. If it is the installation's own, move it away to have a new one made.",
    )
