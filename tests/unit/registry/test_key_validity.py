"""A key counts within its validity, and signs within it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serinus.bundle import SigningKey
from serinus.bundle.key_facts import KeyFacts, write_facts
from serinus.errors import SerinusError
from serinus.registry.rotation import new_key, retire_key, trust_key
from tests.unit.registry.bank import DAY, Bank


def test_what_was_registered_outside_a_keys_validity_does_not_count(bank: Bank) -> None:
    """Told by the time of registration, which is recorded."""
    bank.build(1)
    bank.build(2)
    write_facts(bank.home.keys, bank.signing(), KeyFacts(ends=(bank.at - DAY).isoformat()))
    assert bank.registry.bundle(bank.registry.get("small", 1))
    with pytest.raises(SerinusError, match="SRN-BUNDLE-012"):
        bank.registry.bundle(bank.registry.get("small", 2))


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (KeyFacts(ends="2020-01-01T00:00:00+00:00"), "was valid until 2020"),
        (KeyFacts(begins="2999-01-01T00:00:00+00:00"), "is valid from 2999"),
    ],
)
def test_a_key_signs_within_its_validity_only(bank: Bank, facts: KeyFacts, says: str) -> None:
    key = SigningKey.load_or_create(bank.home.keys)
    write_facts(bank.home.keys, key.id, facts)
    with pytest.raises(SerinusError, match=f"SRN-KEY-004.*{says}"):
        SigningKey.load_or_create(bank.home.keys)


def test_a_mounted_key_that_is_retired_signs_no_more(bank: Bank, tmp_path: Path) -> None:
    bank.build(1)
    old = bank.signing()
    secret = tmp_path / "secret"
    secret.mkdir()
    shutil.copy(bank.home.keys / "signing.pem", secret)
    SigningKey.load(secret)
    new_key(bank.registry, bank.home, by="ann", standby=False)
    retire_key(bank.registry, bank.home, old, by="ann", reason="rotation")
    shutil.copy(bank.home.keys / f"retired-{old}.json", secret)
    with pytest.raises(SerinusError, match="SRN-KEY-004.*retired"):
        SigningKey.load(secret)


def test_trusting_a_key_again_without_an_end_takes_its_end_away(bank: Bank, tmp_path: Path) -> None:
    pem = SigningKey(Ed25519PrivateKey.generate()).trust_in(tmp_path)
    first = trust_key(bank.registry, bank.home, pem, by="ann", owner="lending", ends=bank.at - DAY)
    assert (first.valid, first.owner) == (False, "lending")
    again = trust_key(bank.registry, bank.home, pem, by="ann", owner="lending")
    assert (again.valid, again.ends) == (True, None)
    bare = trust_key(bank.registry, bank.home, pem, by="ann")
    assert (bare.valid, bare.owner) == (True, "")
