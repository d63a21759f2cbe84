"""Whom we trust, and for what: the public keys of a directory, those that are retired too."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from serinus.bundle.key_facts import KeyFacts, Retirement, read_facts, read_retirements
from serinus.bundle.keys import Signature, bad_key, key_id
from serinus.errors import SerinusError


@dataclass(frozen=True)
class Keyring:
    """The public keys whose signatures count.

    ``keys`` are trusted, within the validity that ``facts`` give; ``retired`` count for what
    their retirement names and nothing else. A key that is in both is retired.
    """

    keys: dict[str, Ed25519PublicKey]
    facts: dict[str, KeyFacts] = field(default_factory=dict[str, KeyFacts])
    retired: dict[str, Retirement] = field(default_factory=dict[str, Retirement])

    @classmethod
    def load(cls, directory: Path) -> Keyring:
        """All ``trusted-*.pem`` and ``retired-*.json`` of a directory; none is an empty ring, which trusts nobody.

        Raises:
            SerinusError: ``SRN-KEY-001`` a file is not what its name says.
        """
        retired = read_retirements(directory)
        for item in retired.values():
            if key_id(_public(item.key.encode(), directory / f"retired-{item.key_id}.json")) != item.key_id:
                raise bad_key(
                    directory / f"retired-{item.key_id}.json", f"the key in it is not {item.key_id}"
                )
        keys: dict[str, Ed25519PublicKey] = {}
        for path in sorted(directory.glob("trusted-*.pem")):
            public = read_public(path)
            if key_id(public) not in retired:
                keys[key_id(public)] = public
        return cls(keys, {name: read_facts(directory, name) for name in keys}, retired)

    @classmethod
    def load_some(cls, directory: Path) -> Keyring:
        """As ``load``, where trusting nobody would be a mistake. Raises SerinusError: ``SRN-KEY-002``."""
        ring = cls.load(directory)
        if not ring.public():
            raise SerinusError(
                "SRN-KEY-002",
                "there is no trusted key here (no trusted-*.pem), so no signature can be believed",
                where=str(directory),
                hint="Put the public keys of those who may sign models there (a pod mounts them); an installation "
                "that signs has its own in <home>/keys.",
            )
        return ring

    def public(self) -> dict[str, Ed25519PublicKey]:
        """Every key that a signature may count by, retired ones too."""
        retired = {
            name: _public(item.key.encode(), Path(f"retired-{name}.json"))
            for name, item in self.retired.items()
        }
        return self.keys | retired

    def verify(
        self,
        text: str,
        signature: Signature,
        *,
        where: str,
        entry: tuple[str, int] | None = None,
        at: datetime | None = None,
    ) -> None:
        """Whether a signature counts.

        Args:
            text: what is signed: a bundle's digest, or a checkpoint.
            signature: under which key, and what it is.
            where: is named in errors.
            entry: for a checkpoint, the log's name and the number of the entry that it vouches for.
            at: when it was known to be there (its registration), where somebody recorded that;
                it is held to the key's validity.

        Raises:
            SerinusError: ``SRN-BUNDLE-005`` unknown key; ``-006`` wrong signature; ``-011`` the key is
                retired, and this is not among what it signed before; ``-012`` the key was not valid then.
        """
        retirement = self.retired.get(signature.key_id)
        public = self.public().get(signature.key_id)
        if public is None:
            raise SerinusError(
                "SRN-BUNDLE-005",
                f"the bundle is signed by key {signature.key_id}, which is not trusted here",
                where=where,
                hint="Add the signer's public key to the keys directory if you trust it (`serinus keys trust FILE`, or "
                "trusted-<id>.pem in the ConfigMap that pods mount).",
            )
        try:
            public.verify(bytes.fromhex(signature.value), text.encode())
        except (InvalidSignature, ValueError) as error:
            raise SerinusError(
                "SRN-BUNDLE-006",
                "the signature does not fit the bundle",
                where=where,
                hint="The bundle was altered after signing. Do not serve it; fetch or build it again.",
            ) from error
        if retirement is not None:
            _check_retired(retirement, text, entry, where)
            return
        facts = self.facts.get(signature.key_id, KeyFacts())
        if at is not None and not facts.covers(at):
            raise SerinusError(
                "SRN-BUNDLE-012",
                f"the key {signature.key_id} was not valid on {at.isoformat(timespec='seconds')}, when this came",
                where=where,
                hint=f"It signs from {facts.begins or 'ever'} until {facts.ends or 'ever'}. Build it again with a key "
                "that is valid.",
            )


def read_public(path: Path) -> Ed25519PublicKey:
    """The public key in a PEM file. Raises ``SRN-KEY-001``."""
    try:
        return _public(path.read_bytes(), path)
    except OSError as error:
        raise bad_key(path, error.strerror or str(error)) from error


def _public(pem: bytes, path: Path) -> Ed25519PublicKey:
    try:
        public = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise bad_key(path, str(error)) from error
    if not isinstance(public, Ed25519PublicKey):
        raise bad_key(path, f"it is a {type(public).__name__}")
    return public


def _check_retired(retirement: Retirement, text: str, entry: tuple[str, int] | None, where: str) -> None:
    if not retirement.counts(text, entry):
        raise SerinusError(
            "SRN-BUNDLE-011",
            f"the key {retirement.key_id} is retired since {retirement.since}, and this is not among what it had "
            "signed by then",
            where=where,
            hint="Find out who signed it: the key may be in other hands. Build it again under a key that is trusted.",
        )
