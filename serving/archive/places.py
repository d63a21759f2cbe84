"""How far each partition was kept: beside the files, so that it goes where they go."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec

from serinus.chain.lock import lock
from serinus.errors import SerinusError
from serinus.home import atomic_write


class Places:
    """Offsets by ``<cluster>/<topic>/<partition>`` in one file, which one process holds.

    A volume that is put back from a backup brings its own places back, and what came since is read again.

    Raises:
        SerinusError: ``SRN-AUDIT-001`` another archive keeps this home; ``SRN-ARCHIVE-002`` the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()
        self._lock = lock(
            path,
            what="another archive keeps this home",
            hint="Stop it, or give this one a home of its own; a partition may be read by both.",
        )
        try:
            self._places = msgspec.json.decode(path.read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            self._places = {}
        except (OSError, msgspec.DecodeError) as error:
            self._lock.close()
            raise SerinusError(
                "SRN-ARCHIVE-002",
                f"the places in the topics cannot be read ({error})",
                where=str(path),
                hint="Mend the permissions, or move it away: topics are read again, and nothing is kept twice.",
            ) from error

    def get(self, key: str) -> int | None:
        """The first offset that is not kept; None if the partition was never read."""
        return self._places.get(key)

    def keep(self, places: Mapping[str, int]) -> None:
        """All before these offsets is on the disk. Raises as ``atomic_write``."""
        with self._writing:  # each topic has a thread
            merged = self._places | dict(places)
            atomic_write(self._path, msgspec.json.encode(merged))
            self._places = merged

    def close(self) -> None:
        """Let another have the home."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
