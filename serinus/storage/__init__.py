"""Where bundles and records lie outside this machine: a volume, or anything that speaks S3."""

from serinus.storage.directory import DirectoryStore
from serinus.storage.download import Budget, download
from serinus.storage.location import Location, parse_location
from serinus.storage.memory import MemoryStore
from serinus.storage.opening import open_store
from serinus.storage.port import ObjectStore, StoreUnavailable

__all__ = [
    "Budget",
    "DirectoryStore",
    "Location",
    "MemoryStore",
    "ObjectStore",
    "StoreUnavailable",
    "download",
    "open_store",
    "parse_location",
]
