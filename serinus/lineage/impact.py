"""What a file or a column reaches: the versions that were trained on it, the features made of it."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from serinus.contract import Contract, parse_contract
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.lineage import journal
from serinus.lineage.columns import Source, made_from, made_of, meta_sources
from serinus.registry import Registry
from serinus.registry.records import Version


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A version that stands on the content asked for."""

    model: str
    version: int
    stage: str
    digest: str
    run: str
    data: str


class Impact(msgspec.Struct, frozen=True, kw_only=True):
    """What came of some content: versions, and runs that read it and registered nothing.

    ``what`` it is: the records that a version was trained on, a signed bundle, or an artefact in between
    (``name`` is its dataset).
    """

    digest: str
    what: Literal["records", "bundle", "artefact"]
    name: str = ""
    versions: tuple[Trained, ...] = ()
    other_runs: tuple[str, ...] = ()


def of_digest(home: Home, digest: str) -> Impact:
    """What came of the content with this digest, or whose digest begins so.

    Raises:
        SerinusError: ``SRN-LINEAGE-005`` no run that is known here read or wrote it; ``-006`` it is the
            beginning of several digests.
    """
    registry = Registry(home)
    versions = [each for model in registry.models() for each in registry.versions(model)]
    wanted = digest.removeprefix("sha256:").lower()
    names: dict[str, tuple[Literal["records", "bundle", "artefact"], str]] = {}
    runs: dict[str, list[str]] = {}
    for path in journal.files(home.lineage):
        for event in journal.read(path) if path.name != journal.REGISTRY else ():
            for dataset in (*event.inputs, *event.outputs):
                if wanted and dataset.version.removeprefix("sha256:").startswith(wanted):
                    names.setdefault(dataset.version, ("artefact", dataset.name))
                    runs.setdefault(dataset.version, []).append(path.stem)
    for version in versions:
        for found, what in ((version.lineage.data.digest, "records"), (version.digest, "bundle")):
            if wanted and found.removeprefix("sha256:").startswith(wanted):
                names[found] = ("records" if what == "records" else "bundle", names.get(found, ("", ""))[1])
    if len(names) > 1:
        raise SerinusError(
            "SRN-LINEAGE-006",
            f"{len(names)} digests begin with {wanted[:20]}: {', '.join(sorted(each[:19] for each in names))}",
            hint="Give more of it.",
        )
    if not names:
        raise SerinusError(
            "SRN-LINEAGE-005",
            f"no version or run here knows content with the digest {wanted[:20]}{'…' if len(wanted) > 20 else ''}",
            where=str(home.lineage),
            hint="It was not used here, or its bytes changed since: a file is known by its content, not its name.",
        )
    whole, (what, name) = next(iter(names.items()))
    read_by = set(runs.get(whole, ()))
    came = [v for v in versions if whole in (v.lineage.data.digest, v.digest) or v.run in read_by]
    others = read_by - {v.run for v in came}
    return Impact(
        digest=whole,
        what=what,
        name=name,
        versions=tuple(
            Trained(
                model=v.model, version=v.version, stage=v.stage, digest=v.digest, run=v.run,
                data=v.lineage.data.digest,
            )
            for v in came
        ),
        other_runs=tuple(sorted(others)),
    )  # fmt: skip


def digest_of_file(path: Path) -> str:
    """``sha256:`` and the hash of a file's bytes, as ingest takes it.

    Raises:
        SerinusError: ``SRN-LINEAGE-005`` it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SerinusError(
            "SRN-LINEAGE-005",
            f"the file cannot be read ({error.strerror or error})",
            where=str(path),
            hint="Give a file that can be read, or the digest that it had.",
        ) from error


class ColumnSource(msgspec.Struct, frozen=True, kw_only=True):
    """A column of the records that goes into a feature, and how."""

    column: str
    type: str
    transformation: str
    description: str


class Users(msgspec.Struct, frozen=True, kw_only=True):
    """A version in which the column or feature occurs, as which of its features."""

    model: str
    version: int
    stage: str
    features: tuple[str, ...]


class ColumnLineage(msgspec.Struct, frozen=True, kw_only=True):
    """A feature's sources (``upstream``), what a column goes into (``features``), and who uses either."""

    name: str
    model: str
    version: int
    is_feature: bool
    is_column: bool
    upstream: tuple[ColumnSource, ...] = ()
    features: tuple[str, ...] = ()
    used_by: tuple[Users, ...] = ()
    notes: tuple[str, ...] = ()


def of_column(home: Home, version: Version, contract: Contract, name: str) -> ColumnLineage:
    """The lineage of a feature, or of a column of the records, in a version; and which versions use it.

    Raises:
        SerinusError: ``SRN-LINEAGE-004`` the contract knows no such feature or column.
    """
    made = {**meta_sources(contract), **made_of(contract)}
    is_feature, is_column = name in made, name in contract.columns
    if not (is_feature or is_column):
        known = list(dict.fromkeys((*contract.feature_names, *contract.columns)))
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
        raise SerinusError(
            "SRN-LINEAGE-004",
            f'{version.model} v{version.version} has no feature or column "{name}"',
            hint=f"Did you mean {', '.join(near)}?" if near
            else f"Features: {', '.join(contract.feature_names)}. Columns: {', '.join(contract.columns)}.",
        )  # fmt: skip
    used, notes = _users(home, name)
    return ColumnLineage(
        name=name,
        model=version.model,
        version=version.version,
        is_feature=is_feature,
        is_column=is_column,
        upstream=tuple(_shown(source) for source in made.get(name, ())),
        features=made_from(contract, name) if is_column else (),
        used_by=tuple(used),
        notes=tuple(notes),
    )


def _shown(source: Source) -> ColumnSource:
    return ColumnSource(
        column=source.column,
        type=source.type,
        transformation=source.subtype,
        description=source.description,
    )


def _users(home: Home, name: str) -> tuple[list[Users], list[str]]:
    registry = Registry(home)
    found: list[Users] = []
    notes: list[str] = []
    for model in registry.models():
        for version in registry.versions(model):
            contract = contract_of(version)
            if contract is None:
                notes.append(f"{model} v{version.version}: its bundle cannot be read ({version.path})")
                continue
            left_out = _left_out(version)
            features = [each for each in _as_features(contract, name) if each not in left_out]
            if features:
                found.append(
                    Users(model=model, version=version.version, stage=version.stage, features=tuple(features))
                )
    return found, notes


def _as_features(contract: Contract, name: str) -> Iterable[str]:
    own = (name,) if name in contract.feature_names else ()
    return tuple(dict.fromkeys((*own, *made_from(contract, name)))) if name in contract.columns else own


def _left_out(version: Version) -> frozenset[str]:
    """Features that the contract declares and the training was told not to use."""
    try:
        text = (Path(version.path) / "provenance.json").read_bytes()
        return frozenset(msgspec.json.decode(text)["config"]["training"].get("exclude", ()))
    except (OSError, msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return frozenset()


def contract_of(version: Version) -> Contract | None:
    """The contract in a version's bundle, None where it cannot be read; its signature is not checked here."""
    path = Path(version.path) / "contract.json"
    try:
        return parse_contract(msgspec.json.decode(path.read_bytes()), where=str(path))
    except (OSError, msgspec.DecodeError, SerinusError):
        return None
