"""An installation whose time is told."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from serinus.bundle import Bundle, Keyring, SigningKey, open_bundle, write_bundle
from serinus.chain import verify_log
from serinus.chain.checkpoint import (
    append_checkpoint,
    checkpoints_path,
    sign_checkpoint,
)
from serinus.errors import SerinusError
from serinus.registry import Registry
from serinus.registry.rotation import export_keys
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
