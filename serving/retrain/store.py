"""Where the ledger is kept between starts."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from serinus.errors import SerinusError
from serinus.home import atomic_write
from serving.retrain.policy import Ledger


class Store(Protocol):
    """Keeps the ledger."""

    def load(self) -> Ledger:
        """The ledger as last saved; empty at first."""
        ...

    def save(self, ledger: Ledger) -> None:
        """Keep the ledger durably before returning."""
        ...


class FileStore:
    """The ledger in a file, written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Ledger:
        """The ledger in the file.

        Raises:
            SerinusError: ``SRN-RETRAIN-002`` if the file is damaged: starting
                from nothing could run twice for one alert.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Ledger)
        except FileNotFoundError:
            return Ledger()
        except (OSError, msgspec.DecodeError) as error:
            raise SerinusError(
                "SRN-RETRAIN-002",
                f"the ledger of retraining cannot be read ({error})",
                where=str(self._path),
                hint="Restore a copy, or move it away while no alert fires: else a run may be repeated.",
            ) from error

    def save(self, ledger: Ledger) -> None:
        """Write the ledger. Raises ``SRN-HOME-001`` or ``-002``."""
        atomic_write(self._path, msgspec.json.format(msgspec.json.encode(ledger)))


class MemoryStore:
    """The ledger in memory, as bytes, so that nothing is shared with who saved it."""

    def __init__(self) -> None:
        self._kept = msgspec.json.encode(Ledger())

    def load(self) -> Ledger:
        """The ledger as last saved."""
        return msgspec.json.decode(self._kept, type=Ledger)

    def save(self, ledger: Ledger) -> None:
        """Keep the ledger."""
        self._kept = msgspec.json.encode(ledger)
