"""Changing keys: no moment without one that counts, and a retired key counts for what it had signed before."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serinus.bundle import Bundle, Keyring, SigningKey, open_bundle, write_bundle
from serinus.bundle.key_facts import KeyFacts, write_facts, write_retirement
from serinus.chain import verify_log
from serinus.chain.checkpoint import (
    append_checkpoint,
    checkpoints_path,
    read_checkpoints,
    sign_checkpoint,
    vouched,
)
from serinus.cli import main
from serinus.errors import SerinusError
from serinus.registry import Registry
from serinus.registry.rotation import export_keys, keys_of, new_key, retire_key, trust_key, use_key
from tests.support.bundles import small_home, small_parts

DAY = timedelta(days=1)


class Bank:
    """An installation whose time is told, with one version a day if asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = datetime(2026, 1, 1, tzinfo=UTC)
        self.home = small_home(path)
        self.registry = Registry(self.home, clock=lambda: self.at.timestamp())

    def build(self, version: int, key: SigningKey | None = None) -> Bundle:
        """A version, signed and registered now; a day passes."""
        signer = key or SigningKey.load_or_create(self.home.keys)
        bundle = write_bundle(self.home.bundles, small_parts(version=version), signer)
        self.registry.register(bundle, by="ann", owner="cards", run=f"r{version}")
        self.at += DAY
        return bundle

    def checkpoint(self) -> int:
        log = self.registry.audit.path
        found = verify_log(log)
        key = SigningKey.load(self.home.keys)
        signed = sign_checkpoint(log, found.entries, found.head, self.at.isoformat(), key)
        append_checkpoint(checkpoints_path(log), signed)
        return found.entries

    def opens(self, bundle: Bundle) -> bool:
        """Whether the keyring as it stands counts the signature; offline, by the files of the keys alone."""
        pod = self.path / "pod"
        shutil.rmtree(pod, ignore_errors=True)
        export_keys(self.home, pod)
        try:
            open_bundle(bundle.path, trusted=Keyring.load(pod))
        except SerinusError as error:
            if error.code != "SRN-BUNDLE-011":
                raise
            return False
        return True

    def signing(self) -> str:
        return SigningKey.load(self.home.keys).id


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)


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


# --- validity -----------------------------------------------------------------
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


# --- the commands -------------------------------------------------------------------
def test_from_the_command_line(bank: Bank, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    home = ["--home", str(bank.home.root)]
    bundle = bank.build(1)
    old = bank.signing()
    assert main(["keys", "new", "--standby", "--owner", "mlops", "--until", "2999-01-01", *home]) == 0
    assert "stands by" in capsys.readouterr().out
    assert main(["keys", "list", "-o", "json", *home]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(k["state"], k["signed"], k["owner"]) for k in found] == [
        ("signing", 1, ""),
        ("standby", 0, "mlops"),
    ]
    assert main(["keys", "new", "--until", "2020-01-01", *home]) == 2
    assert "past" in capsys.readouterr().err
    assert (bank.signing(), len(keys_of(bank.registry, bank.home))) == (old, 2), "nothing was made"
    assert main(["keys", "use", found[1]["id"], *home]) == 0
    assert main(["keys", "retire", old, *home, "--reason", "rotation"]) == 0
    assert "counts for 1 bundle" in capsys.readouterr().out
    assert main(["keys", "export", str(tmp_path / "pod"), *home]) == 0
    assert main(["bundle", "verify", str(bundle.path), "--keys", str(tmp_path / "pod")]) == 0
    assert main(["keys", "list", *home]) == 0
    assert "retired" in capsys.readouterr().out
    assert main(["keys", "retire", found[1]["id"], "--reason", "x", *home]) == 1
    assert main(["keys", "retire", old, "--reason", "x", "--keep", "abc", *home]) == 2
    assert main(["keys", "trust", str(bank.home.keys / "signing.pem"), *home]) == 1
    assert "SRN-KEY-001" in capsys.readouterr().err


def test_openssl_verifies_a_bundle_by_the_exported_files(bank: Bank, tmp_path: Path) -> None:
    bundle = bank.build(1)
    export_keys(bank.home, tmp_path / "pod")
    signature = json.loads((bundle.path / "signature.json").read_text())
    (tmp_path / "digest").write_text(bundle.digest)
    (tmp_path / "sig").write_bytes(bytes.fromhex(signature["value"]))
    pem = tmp_path / "pod" / f"trusted-{signature['key_id']}.pem"
    subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin", "-in", tmp_path / "digest",
         "-sigfile", tmp_path / "sig"],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip


@pytest.mark.parametrize("step", ["fsync", "link"])
def test_a_first_key_that_is_broken_off_is_made_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*given: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, step, fail)
        with pytest.raises((OSError, SerinusError)):
            SigningKey.load_or_create(tmp_path)
    assert not list(tmp_path.glob("*signing.pem*"))
    key = SigningKey.load_or_create(tmp_path)
    assert key.id in Keyring.load(tmp_path).keys


def test_a_first_run_that_is_killed_leaves_no_key_that_nobody_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    write = SigningKey.write

    def killed(key: SigningKey, path: Path) -> None:
        write(key, path)
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(SigningKey, "write", killed)
        with pytest.raises(Killed):
            SigningKey.load_or_create(tmp_path)
    assert SigningKey.load_or_create(tmp_path).id in Keyring.load(tmp_path).keys


def test_of_two_first_runs_at_once_one_key_is_made_and_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = SigningKey.write

    def late(key: SigningKey, path: Path) -> None:
        monkeypatch.setattr(SigningKey, "write", write)
        SigningKey.load_or_create(tmp_path)
        write(key, path)

    monkeypatch.setattr(SigningKey, "write", late)
    key = SigningKey.load_or_create(tmp_path)
    assert set(Keyring.load(tmp_path).keys) == {key.id}


def test_only_keys_that_stand_by_are_offered_for_use_and_the_one_that_signs_is_let_be(bank: Bank) -> None:
    signs = SigningKey.load_or_create(bank.home.keys).id
    standby = new_key(bank.registry, bank.home, by="ann", standby=True).id
    with pytest.raises(SerinusError, match=f"SRN-KEY-005.*Those are: {standby}\\."):
        use_key(bank.registry, bank.home, "nosuch", by="ann")
    assert use_key(bank.registry, bank.home, signs, by="ann").state == "signing"
    assert use_key(bank.registry, bank.home, standby, by="ann").id == standby
