"""What a bundle is made of, and the digest that names it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

MANIFEST = "manifest.json"
SIGNATURE = "signature.json"


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the bundle: SHA-256 of its bytes, and their number."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every file of a bundle by its hash. The bundle's digest is the SHA-256 of
    this document's canonical bytes, so it commits to every byte of the bundle."""

    schema: Literal["serinus.io/bundle/v1"] = "serinus.io/bundle/v1"
    name: str
    version: int
    model_kind: Literal["lightgbm", "trees", "linear"] = "lightgbm"
    files: dict[str, FileEntry]

    def canonical(self) -> bytes:
        """Keys sorted, no spaces: the same value always gives the same bytes."""
        return msgspec.json.encode(self, order="sorted")

    def digest(self) -> str:
        """``sha256:`` and 64 hex digits."""
        return "sha256:" + hashlib.sha256(self.canonical()).hexdigest()


def file_entry(path: Path) -> FileEntry:
    """The entry of a file on disk."""
    with path.open("rb") as file:
        return FileEntry(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)
