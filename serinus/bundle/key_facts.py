"""What is known of a key beside the key: whose it is, from when until when it signs, and its retirement."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from serinus.errors import SerinusError
from serinus.home import atomic_write

T = TypeVar("T")


class KeyFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """``trusted-<id>.json`` beside a public key. Times are ISO 8601 in UTC, None without a limit;
    a key signs from ``begins`` until ``ends``, the end left out."""

    owner: str = ""
    begins: str | None = None
    ends: str | None = None

    def covers(self, at: datetime) -> bool:
        """Whether the key is valid at that time."""
        after = self.begins is None or datetime.fromisoformat(self.begins) <= at
        return after and (self.ends is None or at < datetime.fromisoformat(self.ends))


class Retirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``retired-<id>.json``: a key that signs no more, and all that its signature still counts for.

    A signature says nothing of its time, and whoever holds a lost key may claim any. So what
    was signed before is named here: ``signed`` by digest (of bundles, ``sha256:…``, that the audit
    log shows registered before ``since``), ``checkpoints`` by the digest of their text, ``logs`` by the
    last entry of each log that one of them vouches for. ``key`` is the public half in PEM form.

    A retirement of an earlier version has no ``checkpoints`` (None): of those the number of the entry decides.
    """

    schema: Literal["serinus.io/key-retirement/v1"] = "serinus.io/key-retirement/v1"
    key_id: str
    key: str
    since: str
    retired: str
    by: str
    reason: str
    signed: tuple[str, ...]
    logs: dict[str, int] = {}
    checkpoints: tuple[str, ...] | None = None

    def counts(self, text: str, entry: tuple[str, int] | None) -> bool:
        """Whether what is signed was signed before: a bundle's digest, or a checkpoint of that log and entry."""
        if entry is None:
            return text in self.signed
        if self.checkpoints is not None:
            return digest_of(text) in self.checkpoints
        return entry[1] <= self.logs.get(entry[0], 0)


def digest_of(text: str) -> str:
    """How a retirement names a checkpoint: the SHA-256 of its text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def facts_path(directory: Path, key_id: str) -> Path:
    """Where the facts of a key stand."""
    return directory / f"trusted-{key_id}.json"


def retirement_path(directory: Path, key_id: str) -> Path:
    """Where the retirement of a key stands."""
    return directory / f"retired-{key_id}.json"


def read_facts(directory: Path, key_id: str) -> KeyFacts:
    """The facts of a key; none are no limits. Raises ``SRN-KEY-001``."""
    path = facts_path(directory, key_id)
    facts = _decode(path, KeyFacts) if path.exists() else KeyFacts()
    try:
        for text in (facts.begins, facts.ends):
            if text is not None and datetime.fromisoformat(text).tzinfo is None:
                raise ValueError(f"{text} names no time zone")
    except ValueError as error:
        raise _bad(path, str(error)) from error
    return facts


def write_facts(directory: Path, key_id: str, facts: KeyFacts) -> None:
    """Keep the facts of a key; where there are none, there is no file."""
    path = facts_path(directory, key_id)
    if facts == KeyFacts():
        path.unlink(missing_ok=True)
    else:
        atomic_write(path, msgspec.json.format(msgspec.json.encode(facts)))


def read_retirements(directory: Path) -> dict[str, Retirement]:
    """All ``retired-*.json`` of a directory by key id. Raises ``SRN-KEY-001``."""
    found = [_decode(path, Retirement) for path in sorted(directory.glob("retired-*.json"))]
    return {item.key_id: item for item in found}


def write_retirement(directory: Path, retirement: Retirement) -> Path:
    """Write a retirement, whole or not at all."""
    path = retirement_path(directory, retirement.key_id)
    atomic_write(path, msgspec.json.format(msgspec.json.encode(retirement)))
    return path


def check_may_sign(directory: Path, key_id: str, now: float) -> None:
    """Raises SerinusError: ``SRN-KEY-004`` the key is retired, or not valid now; ``-001`` its files are damaged."""
    facts, at = read_facts(directory, key_id), datetime.fromtimestamp(now, UTC)
    if retirement_path(directory, key_id).exists():
        why = "it is retired"
    elif not facts.covers(at):
        early = facts.begins is not None and at < datetime.fromisoformat(facts.begins)
        why = f"it is valid from {facts.begins} on" if early else f"it was valid until {facts.ends}"
    else:
        return
    raise SerinusError(
        "SRN-KEY-004",
        f"the key {key_id} signs nothing: {why}",
        where=str(directory),
        hint="Make another (`serinus keys new`), or take one that stands by (`serinus keys use`); `serinus keys list` "
        "shows them.",
    )


def _decode(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise _bad(path, str(error)) from error


def _bad(path: Path, why: str) -> SerinusError:
    return SerinusError(
        "SRN-KEY-001",
        f"not what is known of a key ({why})",
        where=str(path),
        hint="`serinus keys` writes these files; take a copy from another machine that trusts the key.",
    )
