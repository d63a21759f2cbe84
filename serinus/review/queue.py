"""The queue: referred decisions taken from the logs, and who is at which of them. SQLite, one file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from serinus.chain import NotAnEntry, decode_entry
from serinus.database import create_private
from serinus.errors import SerinusError
from serinus.events import WithheldEvent, decode_decision, withheld
from serinus.follow import FEEDBACK, Followed, matching
from serinus.privacy import FoundKeys
from serinus.privacy.seal import key_of
from serinus.shadows import Shadows

_LINES = 20_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS cases (
  id TEXT PRIMARY KEY, model TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL, predictor TEXT NOT NULL,
  at REAL NOT NULL, probability REAL NOT NULL, log TEXT NOT NULL, key TEXT NOT NULL,
  claimed_by TEXT, claimed_until REAL, answered_by TEXT, answered_at REAL, bad INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS waiting ON cases (at) WHERE answered_at IS NULL;
CREATE INDEX IF NOT EXISTS by_key ON cases (key) WHERE key <> '';
CREATE TABLE IF NOT EXISTS places (key TEXT PRIMARY KEY, offset INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS heard (id INTEGER PRIMARY KEY CHECK (id = 0), seq INTEGER NOT NULL);
"""


class _NotKnownYetError(Exception):
    """Whether a decision was of a copy is told by a turn that is not recorded yet."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One referred decision. Times in Unix seconds; ``bad`` is the person's answer."""

    id: str
    model: str
    version: int
    digest: str
    predictor: str
    at: float
    probability: float
    log: str
    claimed_by: str | None = None
    claimed_until: float | None = None
    answered_by: str | None = None
    answered_at: float | None = None
    bad: bool | None = None

    def held_by(self, now: float) -> str | None:
        """Who is at it now."""
        return self.claimed_by if self.claimed_until is not None and now < self.claimed_until else None


def _no_shadows() -> Shadows:
    return Shadows()


class Queue:
    """Referred decisions of one installation; several processes may use it.

    Args:
        path: the database, readable by its owner only.
        decisions: the directory of the decision logs.
        keys: open decisions that are sealed by person, and say who was erased.
        shadows: which decisions were of copies, asked anew where something was referred: a person is
            asked about what somebody waits for.

    Raises:
        SerinusError: ``SRN-QUEUE-001`` if it cannot be opened.
    """

    def __init__(
        self, path: Path, decisions: Path, keys: FoundKeys, shadows: Callable[[], Shadows] = _no_shadows
    ) -> None:
        self._path = path
        self._shadows = shadows
        self._decisions = decisions
        self._keys = keys
        try:
            create_private(path)
        except OSError as error:
            raise _unusable(path, error) from error

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """A transaction of its own; an exception undoes all of it. Raises ``SRN-QUEUE-001``."""
        connection = None
        try:
            connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA secure_delete = ON")  # who is erased is not left in free pages
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from error
        finally:
            if connection is not None:
                connection.close()  # an open transaction is rolled back

    def sync(self) -> int:
        """Take in what was referred since, and forget who was erased; how many are new.

        Lines are read from where they were left, through rotation; the place is kept with what was read, so
        nothing is taken twice or left out. A log in which it is not known yet whether a decision was of a copy
        waits at that place. The chain is verified when a case is shown.

        Raises:
            SerinusError: ``SRN-PRIVACY-004`` decisions are sealed, and the store of their keys cannot be opened:
                they wait for somebody who can.
        """
        new = 0
        shadows = cache(self._shadows)
        waiting: set[Path] = set()
        logs = matching(self._decisions, "*.jsonl", leave_out=FEEDBACK)
        while True:
            with self.transaction() as db:
                places = dict(db.execute("SELECT key, offset FROM places").fetchall())
                followed = Followed(lambda: [path for path in logs() if path not in waiting], places)
                lines = held = 0
                for path, found, place in followed.read(_LINES):
                    if path in waiting:
                        continue
                    try:
                        for line in found:
                            new += self._take(db, path, line, shadows)
                    except _NotKnownYetError:
                        # The log waits from its place on; what was taken of it is known again by its id.
                        waiting.add(path)
                        held += 1
                        continue
                    db.execute("INSERT OR REPLACE INTO places VALUES (?, ?)", (place.key, place.offset))
                    followed.keep(place)
                    lines += len(found)
                if lines == 0 and held == 0:
                    self._erase(db)
                    return new

    def _take(self, db: sqlite3.Connection, path: Path, line: bytes, shadows: Callable[[], Shadows]) -> int:
        key = key_of(line)
        if key is None and b'"decision":"review"' not in line:
            return 0
        try:
            event = decode_decision(bytes(decode_entry(line).body), self._keys)
        except (msgspec.DecodeError, NotAnEntry):
            return 0  # `audit verify` tells of a line that is none
        if isinstance(event, WithheldEvent):
            if event.data.verdict == "no_key" and not self._keys.opened:
                # Whoever looks without the keys must not take these from those who have them.
                raise withheld(event)
            return 0
        if event.data.decision != "review":
            return 0
        data = event.data
        at = datetime.fromisoformat(event.time).timestamp()
        copy = shadows().holds(data.digest, at)
        if copy is None:
            raise _NotKnownYetError
        if copy:
            return 0
        row = (event.id, data.model, data.version, data.digest, data.predictor, at, data.probability)
        return db.execute(
            "INSERT OR IGNORE INTO cases (id, model, version, digest, predictor, at, probability, log, key)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, str(path), key or ""),
        ).rowcount

    def _erase(self, db: sqlite3.Connection) -> None:
        # Whatever kind of column it is: a number, as earlier versions wrote it, or a number with its token.
        heard = db.execute("SELECT max(seq) FROM heard").fetchone()[0]
        gone = self._keys.erased_after(str(heard or ""))
        if gone:
            db.executemany("DELETE FROM cases WHERE key = ?", [(erased.key,) for erased in gone])
            db.execute("INSERT OR REPLACE INTO heard VALUES (0, ?)", (gone[-1].position,))

    def waiting(self, model: str | None = None) -> list[Case]:
        """Cases without an answer, oldest first."""
        return self._select("answered_at IS NULL AND (?1 IS NULL OR model = ?1) ORDER BY at, id", (model,))

    def answered(self, model: str | None = None) -> list[Case]:
        """Cases with an answer, newest first."""
        where = "answered_at IS NOT NULL AND (?1 IS NULL OR model = ?1) ORDER BY answered_at DESC, id"
        return self._select(where, (model,))

    def find(self, name: str, db: sqlite3.Connection | None = None) -> Case:
        """The case of a request id.

        Args:
            db: a transaction that is open already.

        Raises:
            SerinusError: ``SRN-QUEUE-002`` if there is none.
        """
        found = self._select("id = ?", (name,), db)
        if not found:
            raise SerinusError(
                "SRN-QUEUE-002",
                f"no decision on request {name} was referred to a person",
                where=str(self._decisions),
                hint="serinus review list names those that were; serinus decisions show says what was decided.",
            )
        return found[0]

    def _select(self, where: str, values: Sequence[Any], db: sqlite3.Connection | None = None) -> list[Case]:
        query = f"SELECT {', '.join(Case.__struct_fields__)} FROM cases WHERE {where}"
        if db is not None:
            return [_case(row) for row in db.execute(query, values)]
        with self.transaction() as own:
            return [_case(row) for row in own.execute(query, values)]


def _case(row: sqlite3.Row) -> Case:
    fields: dict[str, Any] = {name: row[name] for name in Case.__struct_fields__}
    fields["bad"] = None if row["bad"] is None else bool(row["bad"])
    return Case(**fields)


def _unusable(path: Path, error: Exception) -> SerinusError:
    return SerinusError(
        "SRN-QUEUE-001",
        f"the review queue cannot be used ({error})",
        where=str(path),
        hint="Check free disk space and the file's permissions; nothing was changed, and logs are read on later.",
    )
