"""What people lent each other and overrode: SQLite, one file of the installation; the audit log has it too."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from serinus.access.roles import Delegation
from serinus.errors import SerinusError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS delegations (
  id TEXT PRIMARY KEY, role TEXT NOT NULL, "by" TEXT NOT NULL, "to" TEXT NOT NULL, since REAL NOT NULL,
  until REAL NOT NULL, reason TEXT NOT NULL, made REAL NOT NULL, ended REAL
);
CREATE TABLE IF NOT EXISTS overrides (
  model TEXT NOT NULL, version INTEGER NOT NULL, "by" TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL,
  until REAL NOT NULL
);
"""


class Overridden(msgspec.Struct, frozen=True, kw_only=True):
    """An override as it was given. Times in Unix seconds."""

    model: str
    version: int
    by: str
    reason: str
    at: float
    until: float


class Book:
    """Delegations and overrides of one installation; several processes may use it.

    Args:
        path: the database; it is made when something is first written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _open(self, *, write: bool) -> Generator[sqlite3.Connection]:
        connection = None
        try:
            connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
            connection.row_factory = sqlite3.Row
            if write:
                connection.executescript(_SCHEMA)
                connection.execute("BEGIN IMMEDIATE")
            yield connection
            if write:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise SerinusError(
                "SRN-ACCESS-004",
                f"the book of delegations and overrides cannot be used ({error})",
                where=str(self._path),
                hint="Check free disk space and the file's permissions; nothing was changed.",
            ) from error
        finally:
            if connection is not None:
                connection.close()  # an open transaction is rolled back

    @contextmanager
    def lend(self, given: Delegation) -> Generator[None]:
        """Enter a delegation, if what is done meanwhile (its record) succeeds."""
        fields = msgspec.structs.asdict(given)
        with self._open(write=True) as db:
            marks = ", ".join("?" * len(fields))
            db.execute(f"INSERT INTO delegations VALUES ({marks})", tuple(fields.values()))
            yield

    @contextmanager
    def end(self, name: str, at: float) -> Generator[bool]:
        """Take a delegation back, if what is done meanwhile succeeds; False if it had been already."""
        with self._open(write=True) as db:
            done = db.execute("UPDATE delegations SET ended = ? WHERE id = ? AND ended IS NULL", (at, name))
            yield done.rowcount == 1

    @contextmanager
    def override(self, given: Overridden) -> Generator[None]:
        """Enter an override, if what is done meanwhile succeeds."""
        with self._open(write=True) as db:
            row = (given.model, given.version, given.by, given.reason, given.at, given.until)
            db.execute("INSERT INTO overrides VALUES (?, ?, ?, ?, ?, ?)", row)
            yield

    def delegations(self) -> list[Delegation]:
        """All of them, oldest first."""
        if not self._path.exists():
            return []
        with self._open(write=False) as db:
            rows = _rows(db, "delegations", "made, id")
            return [Delegation(**{key: row[key] for key in row.keys()}) for row in rows]  # noqa: SIM118  a Row iterates over values

    def overrides(self) -> list[Overridden]:
        """All of them, oldest first."""
        if not self._path.exists():
            return []
        with self._open(write=False) as db:
            rows = _rows(db, "overrides", "at")
            return [Overridden(**{key: row[key] for key in row.keys()}) for row in rows]  # noqa: SIM118


def _rows(db: sqlite3.Connection, table: str, order: str) -> list[sqlite3.Row]:
    # Whoever made the file may have been killed, or the disk have been full, before it had the table.
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is None:
        return []
    return db.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
