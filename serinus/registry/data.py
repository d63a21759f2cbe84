"""Which records the registered versions were trained on, by the content of the file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from serinus.errors import SerinusError
from serinus.registry.records import Version
from serinus.registry.store import Registry


class DataVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One content of a file of records. ``sources`` are where builders read it; ``versions`` are ``MODEL/N``
    that were trained on it; ``first`` and ``last`` its event times."""

    digest: str
    rows: int | None
    first: str | None
    last: str | None
    sources: tuple[str, ...]
    versions: tuple[str, ...]
    registered: str


def data_versions(registry: Registry, model: str | None = None) -> list[DataVersion]:
    """Every content that a version says it was trained on, the latest first."""
    found: dict[str, list[Version]] = {}
    for name in registry.models() if model is None else [model]:
        for version in registry.versions(name):
            if version.lineage.data.digest:
                found.setdefault(version.lineage.data.digest, []).append(version)
    made = [_made(digest, versions) for digest, versions in found.items()]
    return sorted(made, key=lambda data: data.registered, reverse=True)


def check_data(registry: Registry, file: Path, *, version: Version | None, digest: str | None) -> DataVersion:
    """Whether a file is what a version was trained on, or has a digest, or is any that is known here.

    Args:
        registry: what is known.
        file: its bytes are hashed as they stand: a file that was packed or unpacked since is another one.
        version, digest: what it must be; both None ask which it is.

    Raises:
        SerinusError: ``SRN-REGISTRY-009`` it is another file, naming what it is if that is known; it
            cannot be read; or the version does not say what it was trained on.
    """
    wanted = version.lineage.data.digest if version is not None else digest
    if version is not None and not wanted:
        raise _other(
            file,
            f"{version.model}/{version.version} does not say what it was trained on",
            "Its bundle was made without provenance; only its builder can tell.",
        )
    try:
        with file.open("rb") as opened:
            found = "sha256:" + hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise _other(
            file, f"it cannot be read ({error.strerror})", "Give the file of records itself."
        ) from error
    known = {data.digest: data for data in data_versions(registry)}
    if found in known and found == (wanted or found):
        return known[found]
    if found == wanted:
        return DataVersion(
            digest=found, rows=None, first=None, last=None, sources=(), versions=(), registered=""
        )
    what = (
        f"it is what {', '.join(known[found].versions)} was trained on"
        if found in known
        else "nobody knows it"
    )
    expected = f", not {wanted}" if wanted else ""
    raise _other(
        file,
        f"its content is {found}{expected}; {what}",
        "Fetch that version of the records; a file that was packed, unpacked or saved again is another one. "
        "`serinus data list` shows where each was read.",
    )


def _made(digest: str, versions: list[Version]) -> DataVersion:
    first = versions[0].lineage.data
    return DataVersion(
        digest=digest,
        rows=first.rows,
        first=first.first,
        last=first.last,
        sources=tuple(sorted({v.lineage.data.source for v in versions} - {""})),
        versions=tuple(f"{v.model}/{v.version}" for v in versions),
        registered=max(v.created for v in versions),
    )


def _other(file: Path, what: str, hint: str) -> SerinusError:
    return SerinusError("SRN-REGISTRY-009", what, where=str(file), hint=hint)
