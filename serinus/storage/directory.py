"""A store that is a directory: a mounted volume."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from serinus.home import replacing
from serinus.storage.port import absent, refused, unavailable

_CHUNK = 1 << 20


class DirectoryStore:
    """Files below a directory; see ``ObjectStore``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.where = f"file://{root}"

    def size(self, name: str) -> int | None:
        """Bytes of a file."""
        try:
            return (self._root / name).stat().st_size if (self._root / name).is_file() else None
        except OSError as error:
            raise self._failed(name, error) from error

    def read(self, name: str, start: int = 0) -> Iterator[bytes]:
        """The file's bytes."""
        try:
            with (self._root / name).open("rb") as file:
                file.seek(start)
                while chunk := file.read(_CHUNK):
                    yield chunk
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise absent(f"{self.where}/{name}") from error
        except OSError as error:
            raise self._failed(name, error) from error

    def write(self, name: str, data: bytes | Path) -> None:
        """Write the file under another name, then give it its own."""
        path = self._root / name
        with replacing(path) as file:
            if isinstance(data, Path):
                with data.open("rb") as source:
                    shutil.copyfileobj(source, file, _CHUNK)
            else:
                file.write(data)

    def _failed(self, name: str, error: OSError) -> Exception:
        where, why = f"{self.where}/{name}", error.strerror or str(error)
        # A network volume that is away answers EIO or ESTALE: worth another try.
        return refused(where, why) if isinstance(error, PermissionError) else unavailable(where, why)
