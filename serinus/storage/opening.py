"""From a URI to a store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from serinus.errors import SerinusError
from serinus.storage.directory import DirectoryStore
from serinus.storage.location import Location, parse_location
from serinus.storage.port import ObjectStore


def open_store(place: str | Location, environment: Mapping[str, str] | None = None) -> ObjectStore:
    """The store at ``s3://bucket/prefix`` or ``file:///directory``. Nothing is asked of it yet.

    Raises:
        SerinusError: ``SRN-STORE-001`` not such a URI; ``SRN-STORE-005`` settings that cannot be
            used; ``SRN-CLI-001`` the S3 client is not installed.
    """
    location = parse_location(place) if isinstance(place, str) else place
    if location.scheme == "file":
        return DirectoryStore(Path(location.path))
    try:
        from serinus.storage.s3 import S3Store  # only who asks for S3 needs its client
    except ModuleNotFoundError as error:
        raise SerinusError(
            "SRN-CLI-001",
            f"{location} needs the Python package {error.name}, which is not installed",
            hint="Install the extra that brings it: pip install 'serinus[scorer]' or 'serinus[pipeline]'.",
        ) from error
    return S3Store(location, os.environ if environment is None else environment)
