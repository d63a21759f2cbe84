"""What one registry tells another of a version: its manifest, signature and papers, and who built it in which run.

The model itself is not in it: it stays where ``serinus bundle push`` has put it, and the manifest names it by hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from serinus.bundle import Bundle, Manifest, Signature, directory_name
from serinus.bundle.manifest import SIGNATURE
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry.catalogue import PAPERS
from serinus.registry.records import Version

SCHEMA = "serinus.io/registration/v1"
PATH = "/v1/versions"
"""Where a record keeper takes them."""
LARGEST = 16 << 20
"""Bytes of a registration: the papers of a model with many features are some megabytes."""
SHOWN = tuple(name for name in PAPERS if name not in ("manifest.json", SIGNATURE))
"""Papers that it may carry."""
NEEDED = ("contract.json", "provenance.json", "validation.json")
"""Papers without which nothing is known of purpose, tier and lineage, or of whether it passed."""

_Line = Annotated[str, Meta(max_length=1000, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]
_Who = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"\A[^\x00-\x1f\x7f]+\Z")]
# It becomes the name of a directory.
_NAME = r"\A[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\Z"


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What of a manifest must hold beyond its own type, since others wrote it."""

    name: Annotated[str, Meta(pattern=_NAME)]
    version: Annotated[int, Meta(ge=1, le=1_000_000_000)]


class Registration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A version as it was registered elsewhere.

    Attributes:
        manifest: of the bundle; the bundle's digest is computed from it, and so is each paper's.
        signature: over that digest.
        papers: texts of the bundle's papers by file name.
        owner: who answers for it; ``built_by`` and ``run``: who built it, in which pipeline run.
        registered: when it was registered there, in ISO 8601.
        commit: of the repository; ``source``: where the records were read.
        bundle: where the whole bundle lies (``s3://…``, ``file:///…``), empty where nobody said.
    """

    schema: Literal["serinus.io/registration/v1"]
    manifest: Manifest
    signature: Signature
    papers: dict[str, str]
    owner: _Who
    built_by: _Who
    run: _Who
    registered: _Who
    commit: _Line = ""
    source: _Line = ""
    bundle: _Line = ""

    @property
    def subject(self) -> str:
        """As the audit log names it."""
        return f"{self.manifest.name}/{self.manifest.version}"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a registration.

    ``created`` is False where the version was known by this digest before; then nothing has changed, and
    ``differs`` names what the registry has otherwise than it was told now.
    """

    model: str
    version: int
    digest: str
    created: bool
    stage: str
    differs: tuple[str, ...] = ()


def registration_of(bundle: Bundle, version: Version, uri: str = "") -> Registration:
    """A version of this registry, to be told to another.

    Args:
        bundle: the version's, verified.
        uri: where others fetch the bundle.

    Raises:
        SerinusError: ``SRN-BUNDLE-002`` a paper cannot be read.
    """
    try:
        signature = msgspec.json.decode((bundle.path / SIGNATURE).read_bytes(), type=Signature)
        papers = {
            name: (bundle.path / name).read_bytes().decode()
            for name in SHOWN
            if name in bundle.manifest.files
        }
    except (OSError, ValueError) as error:
        raise SerinusError(
            "SRN-BUNDLE-002",
            f"a paper of it cannot be read ({error})",
            where=str(bundle.path),
            hint="Fetch the bundle again from where it was registered.",
        ) from error
    return Registration(
        schema=SCHEMA,
        manifest=bundle.manifest,
        signature=signature,
        papers=papers,
        owner=version.owner,
        built_by=version.built_by,
        run=version.run or "not stated",
        registered=version.created,
        commit=version.lineage.commit,
        source=version.lineage.data.source,
        bundle=uri,
    )


def read_registration(body: bytes) -> Registration:
    """A registration as it was received, its papers held to the manifest. Whether its signature counts is not asked.

    Raises:
        SerinusError: ``SRN-RECORDS-006`` it is none: which field is wrong, or which paper is not the manifest's;
            ``-007`` its validation has not passed.
    """
    try:
        found = msgspec.json.decode(body, type=Registration)
        msgspec.convert({"name": found.manifest.name, "version": found.manifest.version}, _Manifest)
        datetime.fromisoformat(found.registered)
    except (ValueError, RecursionError) as error:  # msgspec's are, too
        raise _wrong(str(error)) from error
    for name in NEEDED:
        if name not in found.papers:
            raise _wrong(f"the paper {name} is missing", "papers")
    for name, text in found.papers.items():
        _check_paper(found.manifest, name, text)
    documents = {name: _document(found.papers, name) for name in NEEDED}
    verdict = documents["validation.json"].get("verdict", "not stated")
    if verdict != "pass":
        raise SerinusError(
            "SRN-RECORDS-007",
            f"the verdict of its validation is {str(verdict)[:100]}, not pass",
            where=found.subject,
            hint="Only what has passed the pipeline's gate is entered.",
        )
    return found


def _check_paper(manifest: Manifest, name: str, text: str) -> None:
    if name not in SHOWN:
        raise _wrong(f"{name[:100]!r} is not a paper; they are {', '.join(SHOWN)}", "papers")
    entry, raw = manifest.files.get(name), text.encode()
    if entry is None:
        raise _wrong(f"the manifest knows no {name}", "papers")
    if (hashlib.sha256(raw).hexdigest(), len(raw)) != (entry.sha256, entry.size):
        raise _wrong(f"{name} is not the one that the manifest names", "papers")


def _document(papers: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        found: Any = msgspec.json.decode(papers[name])
    except (msgspec.DecodeError, RecursionError) as error:
        raise _wrong(f"{name} is no JSON ({error})", "papers") from error
    return found if isinstance(found, dict) else {}


def _wrong(what: str, where: str = "body") -> SerinusError:
    return SerinusError(
        "SRN-RECORDS-006",
        f"it is no registration of a version: {what}",
        where=where,
        hint="`serinus registry send` and the pipeline's last step make one (docs/registry.md). Nothing was changed.",
    )


def same_facts(version: Version, told: Registration) -> tuple[str, ...]:
    """Names of what a registry has otherwise than it is told."""
    pairs = {
        "owner": (version.owner, told.owner),
        "built_by": (version.built_by, told.built_by),
        "run": (version.run, told.run),
        "commit": (version.lineage.commit, told.commit),
        "source": (version.lineage.data.source, told.source),
        "key": (version.key, told.signature.key_id),
    }
    return tuple(name for name, (ours, theirs) in pairs.items() if ours != theirs)


RECEIVED = "registration.json"
"""Beside the papers: what was received, without them."""


def received(place: Path) -> Registration | None:
    """What was received of the version whose papers lie in a directory; None if it is not such a directory."""
    try:
        return msgspec.json.decode((place / RECEIVED).read_bytes(), type=Registration)
    except (OSError, msgspec.DecodeError):
        return None


def bundle_place(home: Home, version: Version) -> Path:
    """Where a version's bundle lies: its place, or that to which it is pulled where only its papers were received.

    Raises:
        SerinusError: ``SRN-REGISTRY-010`` the papers are here, and the bundle is not.
    """
    place = Path(version.path)
    told = received(place)
    if told is None:
        return place
    pulled = home.bundles / directory_name(version.model, version.version, version.digest)
    if pulled.is_dir():
        return pulled
    where = told.bundle or "where its builder keeps bundles"
    raise SerinusError(
        "SRN-REGISTRY-010",
        f"only the papers of {version.model}/{version.version} are here; its bundle lies at {where}",
        where=version.path,
        hint=f"Bring it: serinus bundle pull {told.bundle or 'URI'} --to {pulled} --digest {version.digest}.",
    )
