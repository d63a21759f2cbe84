"""Changing keys: no moment without one that counts, and a retired key counts for what it had signed before."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serinus.bundle import Keyring, SigningKey, write_bundle
from serinus.bundle.key_facts import write_retirement
from serinus.chain import verify_log
from serinus.chain.checkpoint import (
    checkpoints_path,
    read_checkpoints,
    sign_checkpoint,
    vouched,
)
from serinus.errors import SerinusError
from serinus.registry import Registry
from serinus.registry.rotation import export_keys, keys_of, new_key, retire_key, trust_key, use_key
from tests.support.bundles import small_parts
from tests.unit.registry.bank import DAY, Bank


def test_a_retired_key_counts_for_what_it_had_signed_and_for_nothing_after(bank: Bank) -> None:
    old = SigningKey.load_or_create(bank.home.keys)
    before = bank.build(1)
    new_key(bank.registry, bank.home, by="ann", standby=False)
    retired = retire_key(bank.registry, bank.home, old.id, by="ann", reason="rotation")
    assert retired.signed == (before.digest,)
    after = write_bundle(bank.home.bundles, small_parts(version=2), old)
    renewed = bank.build(3)
    assert (bank.opens(before), bank.opens(after), bank.opens(renewed)) == (True, False, True)
    assert bank.registry.bundle(bank.registry.get("small", 1)).digest == before.digest


def test_of_a_lost_key_only_what_was_registered_before_the_loss_counts(bank: Bank) -> None:
    """Whoever holds it may register too; the audit log tells when."""
    old = SigningKey.load_or_create(bank.home.keys)
    sound = bank.build(1)
    lost = bank.at
    bank.at += DAY
    forged = bank.build(2)
    new_key(bank.registry, bank.home, by="ann", standby=False)
    retire_key(bank.registry, bank.home, old.id, by="ann", reason="a laptop was stolen", since=lost)
    assert (bank.opens(sound), bank.opens(forged)) == (True, False)
    with pytest.raises(SerinusError, match="SRN-BUNDLE-011.*retired since 2026-01-02"):
        bank.registry.bundle(bank.registry.get("small", 2))


def test_what_others_registered_is_kept_by_name(bank: Bank) -> None:
    old = SigningKey.load_or_create(bank.home.keys)
    elsewhere = write_bundle(bank.home.bundles, small_parts(version=5), old)
    new_key(bank.registry, bank.home, by="ann", standby=False)
    retire_key(bank.registry, bank.home, old.id, by="ann", reason="rotation", keep=[elsewhere.digest])
    assert bank.opens(elsewhere)


def test_a_retired_keys_checkpoints_count_up_to_the_last_entry_it_had_vouched_for(bank: Bank) -> None:
    old = SigningKey.load_or_create(bank.home.keys)
    bank.build(1)
    seq = bank.checkpoint()
    new_key(bank.registry, bank.home, by="ann", standby=False)
    retired = retire_key(bank.registry, bank.home, old.id, by="ann", reason="rotation")
    assert retired.logs == {"audit.jsonl": seq}
    log, ring = bank.registry.audit.path, Keyring.load(bank.home.keys)
    assert set(vouched(read_checkpoints(checkpoints_path(log)), ring, log)) == {seq}
    found = verify_log(log)
    later = sign_checkpoint(log, found.entries, found.head, "2026-01-01T00:00:00+00:00", old)
    with pytest.raises(SerinusError, match="SRN-AUDIT-008.*was retired before"):
        vouched([later], ring, log)


@pytest.mark.parametrize("named", [True, False])
def test_whoever_holds_a_retired_key_vouches_for_no_other_past(bank: Bank, named: bool) -> None:
    old = SigningKey.load_or_create(bank.home.keys)
    bank.build(1)
    seq = bank.checkpoint()
    new_key(bank.registry, bank.home, by="ann", standby=False)
    retired = retire_key(bank.registry, bank.home, old.id, by="ann", reason="lost")
    if not named:  # as earlier versions wrote it
        write_retirement(bank.home.keys, msgspec.structs.replace(retired, checkpoints=None))
    log, ring = bank.registry.audit.path, Keyring.load(bank.home.keys)
    assert set(vouched(read_checkpoints(checkpoints_path(log)), ring, log)) == {seq}
    forged = sign_checkpoint(log, seq, "f" * 64, "2026-01-01T00:00:00+00:00", old)
    if named:
        with pytest.raises(SerinusError, match="SRN-AUDIT-008.*was retired before"):
            vouched([forged], ring, log)
    else:
        assert vouched([forged], ring, log) == {seq: "f" * 64}


def test_of_two_who_change_the_key_at_once_both_private_halves_stay(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing = SigningKey.load_or_create(bank.home.keys).id
    names = [new_key(bank.registry, bank.home, by="ann", standby=True).id for _ in range(2)]
    replace, others = os.replace, list[threading.Thread]()

    def late(source: Path, target: Path) -> None:
        """Between the reading of what signs and its replacement another one comes, and gets as far as it may."""
        if Path(target).name == "signing.pem" and not others:
            there = Registry(bank.home, clock=lambda: bank.at.timestamp())
            others.append(
                threading.Thread(target=use_key, args=(there, bank.home, names[1]), kwargs={"by": "bob"})
            )
            others[0].start()
            others[0].join(0.5)
        replace(source, target)

    monkeypatch.setattr(os, "replace", late)
    use_key(bank.registry, bank.home, names[0], by="ann")
    others[0].join()
    private = [*bank.home.keys.glob("standby-*.pem"), bank.home.keys / "signing.pem"]
    assert sorted(SigningKey.read(path).id for path in private) == sorted([signing, *names])
    assert bank.signing() == names[1]


def test_a_key_that_is_not_valid_does_not_begin_to_sign(bank: Bank) -> None:
    before = SigningKey.load_or_create(bank.home.keys).id
    late = new_key(bank.registry, bank.home, by="ann", ends=bank.at + DAY, standby=True).id
    bank.at += 2 * DAY
    entries = len(list(bank.registry.audit.entries()))
    with pytest.raises(SerinusError, match="SRN-KEY-004.*valid until"):
        use_key(bank.registry, bank.home, late, by="ann")
    assert (bank.signing(), len(list(bank.registry.audit.entries()))) == (before, entries)


def test_a_retirement_killed_before_the_private_half_went_is_finished_by_repeating(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*given: object) -> None:
        raise Killed

    SigningKey.load_or_create(bank.home.keys)
    lost = new_key(bank.registry, bank.home, by="ann", standby=True).id
    with monkeypatch.context() as broken:
        broken.setattr("serinus.registry.rotation._clear", killed)
        with pytest.raises(Killed):
            retire_key(bank.registry, bank.home, lost, by="ann", reason="lost")
    assert (bank.home.keys / f"standby-{lost}.pem").exists()
    with pytest.raises(SerinusError, match="SRN-KEY-004.*retired"):
        use_key(bank.registry, bank.home, lost, by="ann")
    assert retire_key(bank.registry, bank.home, lost, by="ann", reason="again").reason == "lost"
    assert not list(bank.home.keys.glob(f"*-{lost}.pem"))
    with pytest.raises(SerinusError, match="SRN-KEY-005"):
        retire_key(bank.registry, bank.home, lost, by="ann", reason="once more")


def test_a_copy_of_the_keys_that_is_broken_off_trusts_too_little_and_never_too_much(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    SigningKey.load_or_create(bank.home.keys)
    other = new_key(bank.registry, bank.home, by="ann", standby=True).id
    to = tmp_path / "copy"
    export_keys(bank.home, to)
    limited = new_key(bank.registry, bank.home, by="ann", ends=bank.at + DAY, standby=True).id
    retire_key(bank.registry, bank.home, other, by="ann", reason="lost")

    def full(path: Path, data: object) -> None:
        raise SerinusError("SRN-HOME-001", "the disk is full", hint="Free space.")

    for place in ("registry.rotation.atomic_write", "registry.rotation.write_facts"):
        with monkeypatch.context() as broken:
            broken.setattr(f"serinus.{place}", full if "atomic" in place else lambda *_: full(to, ""))
            with pytest.raises(SerinusError, match="SRN-HOME-001"):
                export_keys(bank.home, to)
        ring = Keyring.load(to)
        assert other not in ring.keys
        assert limited not in ring.keys
    export_keys(bank.home, to)
    assert Keyring.load(to).facts[limited].ends is not None


def test_a_broken_audit_log_vouches_for_nothing_so_nothing_is_retired_by_it(bank: Bank) -> None:
    old = SigningKey.load_or_create(bank.home.keys)
    bank.build(1)
    new_key(bank.registry, bank.home, by="ann", standby=False)
    log = bank.registry.audit.path
    log.write_bytes(log.read_bytes().replace(b"cards", b"carts"))
    with pytest.raises(SerinusError, match="SRN-AUDIT-003"):
        retire_key(bank.registry, bank.home, old.id, by="ann", reason="rotation")
    assert old.id in Keyring.load(bank.home.keys).keys


def test_a_key_stands_by_until_everybody_trusts_it(bank: Bank) -> None:
    old = bank.build(1) and bank.signing()
    made = new_key(bank.registry, bank.home, by="ann", standby=True)
    assert (made.state, bank.signing()) == ("standby", old)
    assert made.id in Keyring.load(bank.home.keys).keys, "pods can be told of it"
    use_key(bank.registry, bank.home, made.id[:6], by="ann")
    assert bank.signing() == made.id
    assert {k.id: k.state for k in keys_of(bank.registry, bank.home)} == {made.id: "signing", old: "standby"}
    use_key(bank.registry, bank.home, old, by="ann")
    assert bank.signing() == old, "and back"


def test_every_private_half_is_readable_by_its_owner_only_and_none_is_exported(bank: Bank) -> None:
    bank.build(1)
    new_key(bank.registry, bank.home, by="ann", standby=True)
    private = [p for p in bank.home.keys.iterdir() if b"PRIVATE" in p.read_bytes()]
    assert sorted(p.name.split("-")[0] for p in private) == ["signing.pem", "standby"]
    assert all(p.stat().st_mode & 0o077 == 0 for p in private)
    out = bank.path / "out"
    names = export_keys(bank.home, out)
    assert all(name.startswith("trusted-") for name in names)
    assert not any(b"PRIVATE" in p.read_bytes() for p in out.iterdir())


def test_a_retired_key_leaves_no_private_half_and_is_never_trusted_again(bank: Bank) -> None:
    bank.build(1)
    old = bank.signing()
    pem = bank.path / "old.pem"
    pem.write_bytes((bank.home.keys / f"trusted-{old}.pem").read_bytes())
    new_key(bank.registry, bank.home, by="ann", standby=False)
    retire_key(bank.registry, bank.home, old, by="ann", reason="rotation")
    assert not [p for p in bank.home.keys.iterdir() if old in p.name and p.suffix == ".pem"]
    with pytest.raises(SerinusError, match="SRN-KEY-006"):
        trust_key(bank.registry, bank.home, pem, by="ann")
    # A mount that is late and still holds the trusted file says nothing to the contrary.
    shutil.copy(pem, bank.home.keys / f"trusted-{old}.pem")
    assert old not in Keyring.load(bank.home.keys).keys


@pytest.mark.parametrize(
    ("name", "reason", "later", "code", "says"),
    [
        ("signing", "x", 0, "SRN-KEY-007", "signs here now"),
        ("standby", " ", 0, "SRN-KEY-007", "no reason"),
        ("standby", "x", 1, "SRN-KEY-007", "is to come"),
        ("nonsense", "x", 0, "SRN-KEY-005", "no key that is trusted"),
    ],
)
def test_a_retirement_that_makes_no_sense_changes_nothing(
    bank: Bank, name: str, reason: str, later: int, code: str, says: str
) -> None:
    bank.build(1)
    new_key(bank.registry, bank.home, by="ann", standby=True)
    by_state = {key.state: key.id for key in keys_of(bank.registry, bank.home)}
    before = sorted(p.name for p in bank.home.keys.iterdir())
    with pytest.raises(SerinusError, match=f"{code}.*{says}"):
        retire_key(
            bank.registry, bank.home, by_state.get(name, name), by="ann", reason=reason,
            since=bank.at + DAY if later else None,
        )  # fmt: skip
    assert sorted(p.name for p in bank.home.keys.iterdir()) == before


def test_only_keys_that_stand_by_are_offered_for_use_and_the_one_that_signs_is_let_be(bank: Bank) -> None:
    signs = SigningKey.load_or_create(bank.home.keys).id
    standby = new_key(bank.registry, bank.home, by="ann", standby=True).id
    with pytest.raises(SerinusError, match=f"SRN-KEY-005.*Those are: {standby}\\."):
        use_key(bank.registry, bank.home, "nosuch", by="ann")
    assert use_key(bank.registry, bank.home, signs, by="ann").state == "signing"
    assert use_key(bank.registry, bank.home, standby, by="ann").id == standby


# --- damage ---------------------------------------------------------------------
@pytest.mark.parametrize("harm", ["{", '{"key_id": 1}', None])
def test_a_damaged_retirement_trusts_nobody_by_mistake(bank: Bank, harm: str | None) -> None:
    bank.build(1)
    old = bank.signing()
    new_key(bank.registry, bank.home, by="ann", standby=False)
    retire_key(bank.registry, bank.home, old, by="ann", reason="rotation")
    path = bank.home.keys / f"retired-{old}.json"
    document = json.loads(path.read_text())
    # Another's key under the retired one's name would lend it that list.
    other = SigningKey(Ed25519PrivateKey.generate()).trust_in(bank.path).read_text()
    path.write_text(harm if harm is not None else json.dumps(document | {"key": other}))
    with pytest.raises(SerinusError, match="SRN-KEY-001"):
        Keyring.load(bank.home.keys)


def test_signing_the_same_bundle_anew_is_noted(bank: Bank) -> None:
    bundle = bank.build(1)
    made = new_key(bank.registry, bank.home, by="ann", standby=False)
    shutil.rmtree(bundle.path)
    assert bank.build(1).digest == bundle.digest
    assert bank.registry.get("small", 1).key == made.id
    assert "signed-anew" in [entry.action for entry in bank.registry.audit.entries()]
