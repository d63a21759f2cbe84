"""Who signed a bundle, and whom we trust (ed25519, RFC 8032)."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from serinus.errors import SerinusError


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signature over a bundle's digest (its ASCII text)."""

    algorithm: str
    key_id: str
    value: str


def key_id(public: Ed25519PublicKey) -> str:
    """The first 16 hex digits of the SHA-256 of the raw public key."""
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


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
            private = Ed25519PrivateKey.generate()
            pem = private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            try:
                # O_EXCL: of two first runs at once one makes the key, the other reads it.
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                return cls.load_or_create(directory)
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
            cls(private).trust_in(directory)
        return cls.load(directory)

    @classmethod
    def load(cls, directory: Path) -> SigningKey:
        """The key of a directory, where making a new one would be a mistake.

        Raises:
            SerinusError: ``SRN-KEY-003`` there is none; ``SRN-KEY-001`` it is not an ed25519 private key.
        """
        path = directory / "signing.pem"
        try:
            loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except FileNotFoundError as error:
            raise SerinusError(
                "SRN-KEY-003",
                "there is no signing key here (no signing.pem)",
                where=str(directory),
                hint="Put an ed25519 private key there, or in the secret that is mounted there; `serinus pipeline run` "
                "makes one in <home>/keys.",
            ) from error
        except (ValueError, TypeError, OSError) as error:
            raise _bad_key(path, str(error)) from error
        if not isinstance(loaded, Ed25519PrivateKey):
            raise _bad_key(path, f"it is a {type(loaded).__name__}")
        return cls(loaded)

    @property
    def id(self) -> str:
        """The id of the public half."""
        return key_id(self.private.public_key())

    def sign(self, digest: str) -> Signature:
        """Sign a digest."""
        return Signature("ed25519", self.id, self.private.sign(digest.encode()).hex())

    def trust_in(self, directory: Path) -> Path:
        """Write the public half among the trusted keys of a directory."""
        public = self.private.public_key()
        path = directory / f"trusted-{key_id(public)}.pem"
        path.write_bytes(
            public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        return path


@dataclass(frozen=True)
class Keyring:
    """The public keys whose signatures count."""

    keys: dict[str, Ed25519PublicKey]

    @classmethod
    def load(cls, directory: Path) -> Keyring:
        """All ``trusted-*.pem`` of a directory; none is an empty ring, which trusts nobody."""
        keys: dict[str, Ed25519PublicKey] = {}
        for path in sorted(directory.glob("trusted-*.pem")):
            try:
                public = serialization.load_pem_public_key(path.read_bytes())
            except (ValueError, OSError) as error:
                raise _bad_key(path, str(error)) from error
            if not isinstance(public, Ed25519PublicKey):
                raise _bad_key(path, f"it is a {type(public).__name__}")
            keys[key_id(public)] = public
        return cls(keys)

    @classmethod
    def load_some(cls, directory: Path) -> Keyring:
        """As ``load``, where trusting nobody would be a mistake. Raises SerinusError: ``SRN-KEY-002``."""
        ring = cls.load(directory)
        if not ring.keys:
            raise SerinusError(
                "SRN-KEY-002",
                "there is no trusted key here (no trusted-*.pem), so no signature can be believed",
                where=str(directory),
                hint="Put the public keys of those who may sign models there (a pod mounts them); an installation "
                "that signs has its own in <home>/keys.",
            )
        return ring

    def verify(self, digest: str, signature: Signature, *, where: str) -> None:
        """Raises SerinusError: ``SRN-BUNDLE-005`` unknown key, ``-006`` wrong signature."""
        public = self.keys.get(signature.key_id)
        if public is None:
            raise SerinusError(
                "SRN-BUNDLE-005",
                f"the bundle is signed by key {signature.key_id}, which is not trusted here",
                where=where,
                hint="Add the signer's public key to the keys directory as trusted-<id>.pem if you trust it.",
            )
        try:
            public.verify(bytes.fromhex(signature.value), digest.encode())
        except (InvalidSignature, ValueError) as error:
            raise SerinusError(
                "SRN-BUNDLE-006",
                "the signature does not fit the bundle",
                where=where,
                hint="The bundle was altered after signing. Do not serve it; fetch or build it again.",
            ) from error


def _bad_key(path: Path, why: str) -> SerinusError:
    return SerinusError(
        "SRN-KEY-001",
        f"not a usable ed25519 key ({why})",
        where=str(path),
        hint="Put the right key there, or move the file away to have a new one made.",
    )
