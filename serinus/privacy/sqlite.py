"""Keys of persons in one SQLite file, for the programs of one machine.

What is deleted is overwritten (``secure_delete``) and the write-ahead log cut off.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serinus.database import create_private
from serinus.errors import SerinusError
from serinus.privacy.store import Run

_TIMEOUT = 10.0
_PAUSE = 0.01
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kinds (kind TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, mark BLOB NOT NULL, wrapped BLOB NOT NULL, created TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_mark ON keys (mark);
CREATE TABLE IF NOT EXISTS erased (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, mark BLOB NOT NULL, at TEXT NOT NULL,
    token TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS erased_by_mark ON erased (mark);
CREATE TABLE IF NOT EXISTS unfinished (
    mark BLOB PRIMARY KEY, id TEXT NOT NULL, began TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holds (
    mark BLOB PRIMARY KEY, since TEXT NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL
) WITHOUT ROWID;
"""


class _Statements:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __call__(self, query: str, values: Sequence[object] = (), /) -> list[tuple[Any, ...]]:
        return self._db.execute(query, values).fetchall()

    def many(self, query: str, rows: Sequence[Sequence[object]], /) -> None:
        self._db.executemany(query, rows)


class SqliteEngine:
    """See ``Engine``.

    Args:
        path: the database, made where there is none, readable by its owner only.

    Raises:
        SerinusError: ``SRN-PRIVACY-002`` it cannot be used.
    """

    session = 0

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            create_private(path)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_TIMEOUT)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")  # a key must outlive what it seals
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise self.unusable(error) from error
        self._bring_up_to_date()

    @property
    def where(self) -> str:
        """See ``Engine``."""
        return str(self.path)

    def _bring_up_to_date(self) -> None:
        """Format 1 had no tokens: each destroyed key is given one."""
        with self.transaction() as run:
            if run("SELECT value FROM meta WHERE name = 'format'") != [(b"1",)]:
                return
            if "token" not in {row[1] for row in run("PRAGMA table_info(erased)")}:
                run("ALTER TABLE erased ADD COLUMN token TEXT NOT NULL DEFAULT ''")
            run("UPDATE erased SET token = lower(hex(randomblob(12)))")
            run("UPDATE meta SET value = ? WHERE name = 'format'", (b"2",))

    def read(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """See ``Engine``."""
        try:
            with self._lock:
                return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self.unusable(error) from error

    @contextmanager
    def transaction(self, *, shared: bool = False) -> Generator[Run]:
        """See ``Engine``; one writer at a time is SQLite's own rule."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield _Statements(self._db)
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self.unusable(error) from error

    def cut(self) -> None:
        """Take what was overwritten out of the write-ahead log too. Waits for readers up to the time-out."""
        until = time.monotonic() + _TIMEOUT
        while self.read("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
            if time.monotonic() > until:
                raise self.unusable(
                    TimeoutError("its write-ahead log is in use by a reader that does not end")
                )
            time.sleep(_PAUSE)  # SQLite waits for readers, and not for another who cuts

    def refresh(self) -> None:
        """A file is never lost."""

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def unusable(self, error: Exception) -> SerinusError:
        """See ``Engine``."""
        return SerinusError(
            "SRN-PRIVACY-002",
            f"the store of subject keys cannot be used ({error})",
            where=str(self.path),
            hint="Mend the disk or the permissions and repeat; what was begun is finished then. Restore a damaged "
            "store from its backup, then run `serinus privacy status --mend`.",
        )
