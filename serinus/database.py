"""SQLite's files, made so that no lock of a running program is lost."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def create_private(path: Path) -> None:
    """Make a database's file and its directory where there are none, for its owner alone.

    A file that is there is not touched: closing any descriptor of it would drop the locks that
    another connection of this process holds on it, and the next program to close the database
    would then take the write-ahead log away under that connection
    (https://www.sqlite.org/howtocorrupt.html, 2.2). Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
