"""Entering a version that another registry tells of: by its digest, under a trusted signature, whole or not at all.

Its papers lie in ``<home>/versions/NAME-N-DIGEST`` from then on, which is the version's place: model card, report and
lineage are read there as from a bundle. The bundle itself is read where ``serinus bundle pull`` puts it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from datetime import datetime
from pathlib import Path

import msgspec

from serinus.access.approving import tier_name
from serinus.bundle import Keyring, directory_name
from serinus.bundle.manifest import MANIFEST, SIGNATURE
from serinus.errors import SerinusError
from serinus.home import Home, atomic_write, fsync_directory, unwritable
from serinus.registry.records import Version, facts_of
from serinus.registry.registration import RECEIVED, Receipt, Registration, same_facts
from serinus.registry.store import Registry

STAGE = "validated"
"""Where a version begins, whatever became of it elsewhere: what it has been through here is told by this registry."""


class Receiver:
    """Enters versions into one home. One in a process; calls from several threads wait for each other.

    Args:
        registry: of the home.
        keys: directory of the public keys whose signatures count; read anew for each version.
    """

    def __init__(self, registry: Registry, keys: Path) -> None:
        self._registry = registry
        self._home = registry.home
        self._keys = keys
        self._turn = threading.Lock()

    def take(self, told: Registration, *, by: str) -> Receipt:
        """Enter a version; told again, under whichever key, it changes nothing.

        The papers are on the disk before the registry and the audit chain have the version, so that a kill in
        between leaves a directory that nobody looks at, and the same registration sent again ends it.

        Args:
            told: as ``read_registration`` read it.
            by: who tells, as the audit log shall name them.

        Raises:
            SerinusError: nothing is changed then. ``SRN-KEY-002`` nobody is trusted here; ``SRN-BUNDLE-005``,
                ``-006``, ``-011``, ``-012`` the signature does not count; ``SRN-REGISTRY-004`` the version exists
                with another digest; ``SRN-ACCESS-009`` its tier is none; ``SRN-HOME-001`` or ``-002`` the disk.
        """
        with self._turn:
            return self._take(told, by)

    def _take(self, told: Registration, by: str) -> Receipt:
        digest = told.manifest.digest()
        known = self._registry.by_digest(digest)
        at = self._registry.now() if known is None else known.created
        Keyring.load_some(self._keys).verify(
            digest, told.signature, where=told.subject, at=datetime.fromisoformat(at)
        )
        if known is not None:
            # Its key stays too, or the retirement of that key would name the version no more.
            return _receipt(known, created=False, differs=same_facts(known, told))
        self._free(told, digest)
        place = _keep(self._home, told, digest)
        try:
            version = self._version(told, digest, place)
            entered = self._registry.enter(
                version,
                by=by,
                reason=f"pipeline run {told.run}",
                details={
                    "built_by": told.built_by,
                    "registered": told.registered,
                    "bundle": told.bundle,
                },
            )
        except SerinusError:
            shutil.rmtree(place, ignore_errors=True)
            raise
        return _receipt(entered, created=True)

    def _free(self, told: Registration, digest: str) -> None:
        """Raises ``SRN-REGISTRY-004`` where the number is another digest's, before anything is written."""
        for other in self._registry.versions(told.manifest.name):
            if other.version == told.manifest.version:
                raise SerinusError(
                    "SRN-REGISTRY-004",
                    f"{told.subject} exists already with another digest ({other.digest[:23]}…, not {digest[:23]}…)",
                    where="registry",
                    hint="Versions never change. Two registries have given the same number: keep the pipeline's home "
                    "on a claim of its own (--home-claim), and build it again to get the next one.",
                )

    def _version(self, told: Registration, digest: str, place: Path) -> Version:
        # From what the signature covers, not from what the sender says of it.
        facts = facts_of(place)
        tier_name(facts.tier)
        data = msgspec.structs.replace(facts.lineage.data, source=told.source)
        return Version(
            model=told.manifest.name,
            version=told.manifest.version,
            digest=digest,
            path=str(place),
            stage=STAGE,
            owner=told.owner,
            built_by=told.built_by,
            run=told.run,
            created=self._registry.now(),
            purpose=facts.purpose,
            tier=facts.tier,
            key=told.signature.key_id,
            lineage=msgspec.structs.replace(facts.lineage, commit=told.commit, data=data),
        )


def _keep(home: Home, told: Registration, digest: str) -> Path:
    """Write the papers; the directory has its name once all of it is on the disk."""
    parent = home.root / "versions"
    place = parent / directory_name(told.manifest.name, told.manifest.version, digest)
    temporary: Path | None = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        temporary = Path(tempfile.mkdtemp(dir=parent, prefix=".writing-"))
        for name, text in told.papers.items():
            atomic_write(temporary / name, text)
        atomic_write(temporary / MANIFEST, told.manifest.canonical())
        atomic_write(temporary / SIGNATURE, msgspec.json.encode(told.signature))
        atomic_write(temporary / RECEIVED, msgspec.json.encode(msgspec.structs.replace(told, papers={})))
        fsync_directory(temporary)
        os.chmod(temporary, 0o755)
        # Of a version that is not registered: a process was killed before it could be.
        shutil.rmtree(place, ignore_errors=True)
        os.rename(temporary, place)
        fsync_directory(parent)
    except OSError as error:
        raise unwritable(place, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return place


def _sweep(parent: Path) -> None:
    for left in parent.glob(".writing-*"):
        shutil.rmtree(left, ignore_errors=True)


def _receipt(version: Version, *, created: bool, differs: tuple[str, ...] = ()) -> Receipt:
    return Receipt(
        model=version.model,
        version=version.version,
        digest=version.digest,
        created=created,
        stage=version.stage,
        differs=differs,
    )
