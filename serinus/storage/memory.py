"""A store in memory, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from serinus.storage.port import absent


class MemoryStore:
    """Objects in a dictionary; see ``ObjectStore``."""

    def __init__(self, where: str = "memory://store") -> None:
        self.where = where
        self.objects: dict[str, bytes] = {}

    def size(self, name: str) -> int | None:
        """Bytes of an object."""
        found = self.objects.get(name)
        return None if found is None else len(found)

    def read(self, name: str, start: int = 0) -> Iterator[bytes]:
        """Its bytes."""
        if name not in self.objects:
            raise absent(f"{self.where}/{name}")
        yield self.objects[name][start:]

    def write(self, name: str, data: bytes | Path) -> None:
        """Put it."""
        self.objects[name] = data if isinstance(data, bytes) else data.read_bytes()
