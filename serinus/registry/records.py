"""What the registry holds: versions, where they come from, and what happened to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """The records that a version was trained on. ``first`` and ``last`` are event times in ISO 8601
    (UTC), None where the records carry none; ``source`` is where the builder read them, which says
    nothing about their content."""

    digest: str = ""
    rows: int | None = None
    first: str | None = None
    last: str | None = None
    source: str = ""


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What a version was made of. Digests are ``sha256:…``, empty where nobody said.

    ``code`` is of the sources that ran, or names the image; ``commit`` is the repository's,
    with ``-dirty`` where the tree held more than that; ``lock`` of the locked libraries;
    ``inputs`` is one digest over all that makes the model.
    """

    data: Data = Data()
    contract: str = ""
    code: str = ""
    commit: str = ""
    lock: str = ""
    inputs: str = ""


class Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A registered version.

    ``path`` is the bundle's directory; ``tier`` 1 is the most material, None where the
    bundle does not say; ``key`` is the id of the key that signed it, empty where that is not known.
    """

    model: str
    version: int
    digest: str
    path: str
    stage: str
    owner: str
    built_by: str
    run: str
    created: str
    purpose: str = ""
    tier: int | None = None
    key: str = ""
    lineage: Lineage = Lineage()


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A version entered a stage: when, by whom, why."""

    stage: str
    time: str
    by: str
    reason: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle itself says of its version."""

    purpose: str = ""
    tier: int | None = None
    key: str = ""
    lineage: Lineage = Lineage()


def facts_of(path: Path) -> Facts:
    """What the bundle in a directory says, as far as it can be read; nothing of it is verified here."""
    provenance = _read(path / "provenance.json")
    identity = _dict(_dict(provenance.get("config")).get("identity"))
    code, data = _dict(provenance.get("code")), _dict(provenance.get("data"))
    tier = identity.get("tier")
    rows = data.get("rows")
    purpose = identity.get("purpose") or _read(path / "contract.json").get("description")
    return Facts(
        purpose=_text(purpose),
        tier=tier if isinstance(tier, int) else None,
        key=_text(_read(path / "signature.json").get("key_id")),
        lineage=Lineage(
            data=Data(
                digest=_text(data.get("digest")),
                rows=rows if isinstance(rows, int) else None,
                first=_text(data.get("first")) or None,
                last=_text(data.get("last")) or None,
            ),
            contract=_text(provenance.get("contract")),
            code=_text(code.get("digest") or code.get("image")),
            lock=_text(code.get("lock")),
            inputs=_text(provenance.get("inputs")),
        ),
    )


STANDING = ("champion", "canary")  # stages that one version of a model has at a time
SHORTEST = 8  # characters of a digest that name a version


def one_of(versions: Sequence[Version], which: int | str) -> Version | None:
    """The version that is meant, of one model's in the order of their numbers; None if none is, or several are.

    Args:
        which: a number (``3`` or ``v3``), ``latest``, ``champion``, ``canary``, or a digest: with ``sha256:`` or
            without, whole or its first ``SHORTEST`` characters or more.
    """
    if which == "latest":
        return versions[-1] if versions else None
    number, digest = str(which).removeprefix("v"), str(which).removeprefix("sha256:").lower()
    for version in reversed(versions):
        if str(version.version) == number or (which in STANDING and version.stage == which):
            return version
    alike = [v for v in versions if v.digest.removeprefix("sha256:").startswith(digest)]
    return alike[0] if len(digest) >= SHORTEST and len(alike) == 1 else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return _dict(msgspec.json.decode(path.read_bytes()))
    except (OSError, msgspec.DecodeError):
        return {}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
