"""Changing the key that signs: another stands by, is trusted everywhere, signs, and the old one is retired.

Private halves are ``signing.pem`` (the one that signs) and ``standby-<id>.pem``; public ones
``trusted-<id>.pem``. Every step is an entry of the audit log before it is taken, and leaves a
keyring that works if it is broken off.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serinus.bundle.key_facts import (
    KeyFacts,
    Retirement,
    check_may_sign,
    digest_of,
    facts_path,
    write_facts,
    write_retirement,
)
from serinus.bundle.keyring import Keyring, read_public
from serinus.bundle.keys import SigningKey, key_id, public_pem
from serinus.chain import find_logs
from serinus.chain.checkpoint import Checkpoint, checkpoints_path, read_checkpoints
from serinus.errors import SerinusError
from serinus.home import Home, atomic_write, fsync_directory, unwritable
from serinus.registry.records import Version
from serinus.registry.store import Registry


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key of an installation. ``signed`` counts the registered versions under it."""

    id: str
    state: Literal["signing", "standby", "trusted", "retired"]
    owner: str = ""
    begins: str | None = None
    ends: str | None = None
    retired: str | None = None
    reason: str = ""
    valid: bool = True
    signed: int = 0


def keys_of(registry: Registry, home: Home) -> list[Key]:
    """Every key that this installation knows: the signing one first, retired ones last."""
    ring, now = Keyring.load(home.keys), datetime.fromisoformat(registry.now())
    counts: dict[str, int] = {}
    for version in _versions(registry):
        counts[version.key] = counts.get(version.key, 0) + 1
    signing, standby = _signing(home.keys), set(_standby(home.keys))
    found: list[Key] = []
    for name in {*ring.keys, *standby, *([signing] if signing else [])} - set(ring.retired):
        facts = ring.facts.get(name, KeyFacts())
        found.append(
            Key(
                id=name,
                state="signing" if name == signing else "standby" if name in standby else "trusted",
                owner=facts.owner,
                begins=facts.begins,
                ends=facts.ends,
                valid=name in ring.keys and facts.covers(now),
                signed=counts.get(name, 0),
            )
        )
    for name, item in ring.retired.items():
        found.append(
            Key(
                id=name,
                state="retired",
                retired=item.since,
                reason=item.reason,
                valid=False,
                signed=counts.get(name, 0),
            )
        )
    order = ("signing", "standby", "trusted", "retired")
    return sorted(found, key=lambda key: (order.index(key.state), key.id))


def new_key(
    registry: Registry, home: Home, *, by: str, owner: str = "", ends: datetime | None = None, standby: bool
) -> Key:
    """Make a key and trust it here; it signs from now on, or stands by until ``use_key``.

    The one that signed until now stands by: it is still trusted, until it is retired.
    """
    key = SigningKey(Ed25519PrivateKey.generate())
    registry.audit.append(
        actor=by,
        action="keys.new",
        subject=key.id,
        reason=f"stands by{f' for {owner}' if owner else ''}",
        details={"ends": _iso(ends)},
    )
    write_facts(home.keys, key.id, KeyFacts(owner=owner, ends=_iso(ends)))
    key.trust_in(home.keys)
    with _on_disk(home.keys):
        key.write(_standby_path(home.keys, key.id))
        fsync_directory(home.keys)
    if not standby:
        use_key(registry, home, key.id, by=by)
    return _find(registry, home, key.id)


def use_key(registry: Registry, home: Home, name: str, *, by: str) -> Key:
    """Let a key that stands by sign from now on; the one before it stands by.

    Raises:
        SerinusError: ``SRN-KEY-005`` no such key stands by here; ``-004`` it is not valid now, or retired.
    """
    with _alone(home.keys):
        return _use(registry, home, name, by=by)


def _use(registry: Registry, home: Home, name: str, *, by: str) -> Key:
    before = _signing(home.keys)
    if name and before is not None and before.startswith(name) and not _matching(name, _standby(home.keys)):
        return _find(registry, home, before)  # it signs already
    name = _one(name, _standby(home.keys), "stands by", home.keys)
    check_may_sign(home.keys, name, datetime.fromisoformat(registry.now()).timestamp())
    registry.audit.append(
        actor=by, action="keys.use", subject=name, reason=f"signs instead of {before or 'none'}"
    )
    if before is not None:
        with contextlib.suppress(FileExistsError):
            SigningKey.read(home.keys / "signing.pem").write(_standby_path(home.keys, before))
    os.replace(_standby_path(home.keys, name), home.keys / "signing.pem")
    fsync_directory(home.keys)
    return _find(registry, home, name)


def trust_key(
    registry: Registry,
    home: Home,
    file: Path,
    *,
    by: str,
    owner: str = "",
    begins: datetime | None = None,
    ends: datetime | None = None,
) -> Key:
    """Trust the public key in a PEM file, from and until the given times.

    Raises:
        SerinusError: ``SRN-KEY-001`` it is none; ``-006`` it was retired here.
    """
    public = read_public(file)
    name = key_id(public)
    if name in Keyring.load(home.keys).retired:
        raise SerinusError(
            "SRN-KEY-006",
            f"the key {name} was retired here, and a retired key is not trusted again",
            where=str(file),
            hint="Let its owner make another. What it had signed before still counts.",
        )
    registry.audit.append(
        actor=by, action="keys.trust", subject=name, reason=owner, details={"ends": _iso(ends)}
    )
    write_facts(home.keys, name, KeyFacts(owner=owner, begins=_iso(begins), ends=_iso(ends)))
    atomic_write(home.keys / f"trusted-{name}.pem", public_pem(public))
    return _find(registry, home, name)


def retire_key(
    registry: Registry,
    home: Home,
    name: str,
    *,
    by: str,
    reason: str,
    since: datetime | None = None,
    keep: Sequence[str] = (),
) -> Retirement:
    """Let a key's signature count no more, but for what it had signed before.

    What that is, the audit log tells: versions whose registration stands in it, and the
    checkpoints of the logs. It is verified as it is read. One that was broken off is finished by repeating it.

    Args:
        registry, home: of this installation.
        name: the key's id, or its beginning.
        by: who retires it, and why (``reason``).
        since: from when on nothing counts; now, unless the key was lost before anybody saw it.
        keep: digests that it signed for others, which this registry does not know.

    Raises:
        SerinusError: ``SRN-KEY-005`` no such key; ``-007`` it signs here now, no reason is given, or
            ``since`` is to come; ``SRN-AUDIT-003`` the audit log is broken.
    """
    with _alone(home.keys):
        return _retire(registry, home, name, by=by, reason=reason, since=since, keep=keep)


def _retire(
    registry: Registry,
    home: Home,
    name: str,
    *,
    by: str,
    reason: str,
    since: datetime | None,
    keep: Sequence[str],
) -> Retirement:
    ring = Keyring.load(home.keys)
    name = _one(name, [*ring.keys, *_left_behind(home.keys, ring)], "is trusted", home.keys)
    if name in ring.retired:
        _clear(home.keys, name)
        return ring.retired[name]
    now = datetime.fromisoformat(registry.now())
    until = now if since is None else since
    _check_retirement(home.keys, name, reason, until, now)
    first = _registered(registry)
    signed = {
        version.digest
        for version in _versions(registry)
        if version.key == name and version.digest in first and first[version.digest] < until
    }
    counted = _vouched(home, name, until)
    retirement = Retirement(
        key_id=name,
        key=public_pem(ring.keys[name]).decode(),
        since=_iso(until) or "",
        retired=_iso(now) or "",
        by=by,
        reason=reason,
        signed=tuple(sorted({*signed, *keep})),
        logs=_last(counted),
        checkpoints=tuple(sorted(digest_of(checkpoint.text()) for checkpoint in counted)),
    )
    registry.audit.append(
        actor=by,
        action="keys.retire",
        subject=name,
        reason=reason,
        details={"since": retirement.since, "signed": len(retirement.signed), "logs": retirement.logs},
    )
    # The retirement counts as soon as it is there; the rest is clearing up.
    write_retirement(home.keys, retirement)
    _clear(home.keys, name)
    return retirement


def _clear(directory: Path, name: str) -> None:
    """Take away what a retired key left: the private half first."""
    _standby_path(directory, name).unlink(missing_ok=True)
    for path in directory.glob("trusted-*.pem"):
        if key_id(read_public(path)) == name:
            path.unlink()
    facts_path(directory, name).unlink(missing_ok=True)
    fsync_directory(directory)


def _left_behind(directory: Path, ring: Keyring) -> list[str]:
    """Retired keys of which something is still here: their retirement was broken off."""
    trusted = {key_id(read_public(path)) for path in directory.glob("trusted-*.pem")}
    return sorted(set(ring.retired) & {*_standby(directory), *trusted})


def export_keys(home: Home, to: Path) -> list[str]:
    """Copy what pods and auditors are given, and no private half: names of the files."""
    ring = Keyring.load(home.keys)
    with _on_disk(to):
        to.mkdir(parents=True, exist_ok=True)
        # In this order a copy that is broken off trusts too little: retirements, then limits, then the keys.
        for retirement in ring.retired.values():
            write_retirement(to, retirement)
            # Of an export before: a mount that holds both takes it for retired, but says less.
            (to / f"trusted-{retirement.key_id}.pem").unlink(missing_ok=True)
            facts_path(to, retirement.key_id).unlink(missing_ok=True)
        for name, public in ring.keys.items():
            write_facts(to, name, ring.facts.get(name, KeyFacts()))
            atomic_write(to / f"trusted-{name}.pem", public_pem(public))
    return sorted(path.name for path in to.iterdir())


def _check_retirement(directory: Path, name: str, reason: str, since: datetime, now: datetime) -> None:
    if name == _signing(directory):
        what, hint = f"the key {name} signs here now", "Make another first: `serinus keys new`."
    elif not reason.strip():
        what, hint = f"the retirement of {name} gives no reason", "Say why: --reason TEXT."
    elif since > now:
        what, hint = (
            f"{since.isoformat()} is to come",
            "A key is retired now, or since it was lost. For an end that is to come make the key with --until.",
        )
    else:
        return
    raise SerinusError("SRN-KEY-007", what, where=str(directory), hint=hint)


def _registered(registry: Registry) -> dict[str, datetime]:
    """When each digest was first registered, by the audit log."""
    found: dict[str, datetime] = {}
    for entry in registry.audit.entries():
        if entry.action == "register":
            found.setdefault(str(entry.details.get("digest")), datetime.fromisoformat(entry.time))
    return found


def _vouched(home: Home, name: str, until: datetime) -> list[Checkpoint]:
    return [
        checkpoint
        for log in find_logs([home.audit, home.decisions])
        for checkpoint in read_checkpoints(checkpoints_path(log))
        if checkpoint.signature.key_id == name and datetime.fromisoformat(checkpoint.time) <= until
    ]


def _last(checkpoints: Sequence[Checkpoint]) -> dict[str, int]:
    found: dict[str, int] = {}
    for checkpoint in checkpoints:
        found[checkpoint.log] = max(checkpoint.seq, found.get(checkpoint.log, 0))
    return found


@contextlib.contextmanager
def _alone(directory: Path) -> Generator[None]:
    """One change of keys at a time: of two at once one would put a private half in the other's place."""
    directory.mkdir(parents=True, exist_ok=True)
    held = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with _on_disk(directory):
            yield
    finally:
        os.close(held)


@contextlib.contextmanager
def _on_disk(directory: Path) -> Generator[None]:
    """A full disk, or one that must not be written, as what it is. Raises ``SRN-HOME-001`` and ``-002``."""
    try:
        yield
    except OSError as error:
        raise unwritable(directory, error) from error


def _versions(registry: Registry) -> list[Version]:
    return [version for model in registry.models() for version in registry.versions(model)]


def _signing(directory: Path) -> str | None:
    path = directory / "signing.pem"
    return SigningKey.read(path).id if path.exists() else None


def _standby(directory: Path) -> list[str]:
    return sorted(SigningKey.read(path).id for path in directory.glob("standby-*.pem"))


def _standby_path(directory: Path, name: str) -> Path:
    return directory / f"standby-{name}.pem"


def _find(registry: Registry, home: Home, name: str) -> Key:
    return next(key for key in keys_of(registry, home) if key.id == name)


def _matching(text: str, names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(text)})


def _one(text: str, names: Sequence[str], what: str, directory: Path) -> str:
    found = _matching(text, names)
    if len(found) == 1 and text:
        return found[0]
    known = ", ".join(sorted(set(names))) or "none"
    raise SerinusError(
        "SRN-KEY-005",
        f"{'no key' if not found else f'more than one key ({len(found)})'} that {what} begins with {text!r}",
        where=str(directory),
        hint=f"Those are: {known}. `serinus keys list` shows all.",
    )


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat(timespec="milliseconds")
