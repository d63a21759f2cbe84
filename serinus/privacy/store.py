"""The keys of persons, in SQLite: one file that several scorers and the commands share.

A row holds a key wrapped by the master key, and a mark of whom it belongs to: an
HMAC (RFC 2104, SHA-256) under a key that is itself wrapped, so the file alone names
nobody. A person may have several keys, since two scorers may meet them at
once. What is deleted is overwritten (``secure_delete``) and the write-ahead log cut off.
"""

from __future__ import annotations

import hmac
import os
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from serinus.database import create_private
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.privacy.master import MasterKey
from serinus.privacy.seal import Withheld

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kinds (kind TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, mark BLOB NOT NULL, wrapped BLOB NOT NULL, created TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_mark ON keys (mark);
CREATE TABLE IF NOT EXISTS erased (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, mark BLOB NOT NULL, at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS erased_by_mark ON erased (mark);
CREATE TABLE IF NOT EXISTS unfinished (
    mark BLOB PRIMARY KEY, id TEXT NOT NULL, began TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holds (
    mark BLOB PRIMARY KEY, since TEXT NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL
) WITHOUT ROWID;
"""
_FORMAT = b"1"


class NewKey(NamedTuple):
    """A key that is to be kept: its id, whose it is, the key, and when it was made (RFC 3339)."""

    id: str
    mark: bytes
    key: bytes
    created: str


class Erased(NamedTuple):
    """A destroyed key: the how-manieth, its id, whose it was, and when (RFC 3339, UTC)."""

    seq: int
    key: str
    mark: bytes
    at: str


class Hold(NamedTuple):
    """Why a person's keys must stay: since when, by whose word."""

    since: str
    by: str
    reason: str


def held_against(hold: Hold) -> SerinusError:
    """What an erasure is told that meets a hold."""
    return SerinusError(
        "SRN-PRIVACY-006",
        f"a legal hold stands against it, since {hold.since} by {hold.by}: {hold.reason}",
        hint="`serinus privacy release` ends the hold; nothing was erased.",
    )


class KeyStore:
    """See the module. Any thread may call; each call is one transaction.

    Args:
        path: the database.
        master: wraps the keys in it.
        reload: reads the master key anew where the present one does not fit: it may have been rotated.

    Raises:
        SerinusError: ``SRN-PRIVACY-002`` it cannot be used; ``-003`` another master key belongs to it.
    """

    def __init__(self, path: Path, master: MasterKey, reload: Callable[[], MasterKey] | None = None) -> None:
        self.path = path
        self._master = master
        self._reload = reload
        self._lock = threading.Lock()
        try:
            create_private(path)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")  # a key must outlive what it seals
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        self._index = self._open_index()

    def _open_index(self) -> bytes:
        with self._transaction() as db:
            found = dict(db.execute("SELECT name, value FROM meta").fetchall())
            if not found:
                index = os.urandom(32)
                db.executemany(
                    "INSERT INTO meta VALUES (?, ?)",
                    [
                        ("format", _FORMAT),
                        ("master", self._master.id.encode()),
                        ("index", self._master.wrap(index, b"index")),
                    ],
                )
                return index
        if found.get("format") != _FORMAT:
            raise self._unusable(ValueError("it was written by another version of serinus"))
        try:
            return self._master.unwrap(found["index"], b"index")
        except ValueError as error:
            raise self._foreign(found["master"]) from error

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    # --- whose -------------------------------------------------------------

    def mark(self, kind: str, subject: str) -> bytes:
        """What stands for a person: 32 bytes. ``kind`` is the column that names them, or ``request``."""
        return hmac.digest(self._index, f"{kind}\0{subject}".encode(), "sha256")

    def kinds(self) -> list[str]:
        """The columns by which persons were ever named here."""
        return [kind for (kind,) in self._read("SELECT kind FROM kinds ORDER BY kind")]

    def add_kind(self, kind: str) -> None:
        """Note one."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO kinds VALUES (?)", (kind,))

    # --- keys --------------------------------------------------------------

    def find(self, mark: bytes) -> tuple[str, bytes] | None:
        """Id and key of a person, one of them if there are several; None if there is none."""
        rows = self._read("SELECT id, mark, wrapped FROM keys WHERE mark = ? LIMIT 1", (mark,))
        return (rows[0][0], self._unwrap(*rows[0])) if rows else None

    def add(self, keys: Iterable[NewKey]) -> None:
        """Keep keys; they are on the disk on return.

        Raises:
            SerinusError: ``SRN-PRIVACY-002``; ``-003`` the master key was rotated, and its file does not hold
                the new one yet. Then none is kept.
        """
        with self._transaction() as db:
            self._follow_rotation(db)
            wrap = self._master.wrap
            rows = [(k.id, k.mark, wrap(k.key, _bound(k.id, k.mark)), k.created) for k in keys]
            db.executemany("INSERT INTO keys VALUES (?, ?, ?, ?)", rows)

    def _follow_rotation(self, db: sqlite3.Connection) -> None:
        """Take the master key that the store needs now: what an older one wraps, nobody could open again."""
        needs: bytes = db.execute("SELECT value FROM meta WHERE name = 'master'").fetchone()[0]
        if needs.decode() != self._master.id and self._reload is not None:
            self._master = self._reload()
        if needs.decode() != self._master.id:
            raise self._foreign(needs)

    def key(self, key_id: str) -> bytes:
        """See ``Keys.key``."""
        rows = self._read("SELECT id, mark, wrapped FROM keys WHERE id = ?", (key_id,))
        if rows:
            try:
                return self._unwrap(*rows[0])
            except SerinusError as error:
                raise Withheld(key_id, "unreadable", error.what) from error
        gone = self._read("SELECT at FROM erased WHERE key = ?", (key_id,))
        if gone:
            at = gone[0][0]
            raise Withheld(key_id, "erased", f"erased on {at[:10]}: the person's key was destroyed", at)
        raise Withheld(key_id, "no_key", f"its key {key_id} is not in this store ({self.path})")

    def keys_of(self, mark: bytes) -> dict[str, str]:
        """Ids of a person's keys, each with when it was made."""
        return dict(self._read("SELECT id, created FROM keys WHERE mark = ? ORDER BY created, id", (mark,)))

    def counts(self) -> tuple[int, int]:
        """Keys kept, keys destroyed."""
        return self._read("SELECT (SELECT count(*) FROM keys), (SELECT count(*) FROM erased)")[0]

    def _unwrap(self, key_id: str, mark: bytes, wrapped: bytes) -> bytes:
        try:
            return self._master.unwrap(wrapped, _bound(key_id, mark))
        except ValueError:
            if self._reload is not None:
                self._master = self._reload()
        try:
            return self._master.unwrap(wrapped, _bound(key_id, mark))
        except ValueError as error:
            raise self._unusable(ValueError(f"key {key_id} does not fit the master key")) from error

    def rewrap(self, master: MasterKey) -> int:
        """Wrap every key anew, all or none; how many. What the old master key opens is worth nothing then."""
        with self._transaction() as db:
            rows = db.execute("SELECT id, mark, wrapped FROM keys").fetchall()
            db.executemany(
                "UPDATE keys SET wrapped = ? WHERE id = ?",
                ((master.wrap(self._unwrap(*row), _bound(row[0], row[1])), row[0]) for row in rows),
            )
            db.execute("UPDATE meta SET value = ? WHERE name = 'master'", (master.id.encode(),))
            db.execute(
                "UPDATE meta SET value = ? WHERE name = 'index'", (master.wrap(self._index, b"index"),)
            )
        self._master = master
        self._cut()
        return len(rows)

    # --- erasure -----------------------------------------------------------

    def begin(self, mark: bytes, erasure: str, at: str) -> str:
        """Note that a person is being erased; the id of the erasure, the earlier one's if it was not finished.

        Raises:
            SerinusError: ``SRN-PRIVACY-006`` somebody holds the keys, though it be since a moment ago.
        """
        with self._transaction() as db:
            held = db.execute("SELECT since, by, reason FROM holds WHERE mark = ?", (mark,)).fetchone()
            if held is not None:
                raise held_against(Hold(*held))
            db.execute("INSERT OR IGNORE INTO unfinished VALUES (?, ?, ?)", (mark, erasure, at))
            return db.execute("SELECT id FROM unfinished WHERE mark = ?", (mark,)).fetchone()[0]

    def destroy(self, mark: bytes, at: str) -> list[str]:
        """Destroy all keys of a person, at once; ids of those destroyed now. Irreversible."""
        with self._transaction() as db:
            gone = [key for (key,) in db.execute("SELECT id FROM keys WHERE mark = ?", (mark,)).fetchall()]
            db.executemany(
                "INSERT OR IGNORE INTO erased (key, mark, at) VALUES (?, ?, ?)",
                [(key, mark, at) for key in gone],
            )
            db.execute("DELETE FROM keys WHERE mark = ?", (mark,))
        self._cut()
        return gone

    def destroy_again(self, keys: Mapping[str, str]) -> list[str]:
        """Destroy keys by id that were destroyed before and came back with a backup; ids of those found.

        Args:
            keys: ids with the time of their erasure.
        """
        with self._transaction() as db:
            found = [
                (key, mark)
                for key in keys
                for (mark,) in db.execute("SELECT mark FROM keys WHERE id = ?", (key,)).fetchall()
            ]
            for key, mark in found:
                db.execute(
                    "INSERT OR IGNORE INTO erased (key, mark, at) VALUES (?, ?, ?)", (key, mark, keys[key])
                )
                db.execute("DELETE FROM keys WHERE id = ?", (key,))
        self._cut()
        return [key for key, _ in found]

    def finish(self, mark: bytes) -> None:
        """The erasure is complete and recorded."""
        with self._transaction() as db:
            db.execute("DELETE FROM unfinished WHERE mark = ?", (mark,))

    def unfinished(self) -> list[tuple[str, str]]:
        """Erasures that were begun and not finished: their ids, and since when."""
        return [(i, t) for i, t in self._read("SELECT id, began FROM unfinished ORDER BY began")]

    def is_unfinished(self, mark: bytes) -> bool:
        """Whether this person's erasure was."""
        return bool(self._read("SELECT 1 FROM unfinished WHERE mark = ?", (mark,)))

    def erased_of(self, mark: bytes) -> dict[str, str]:
        """Ids of a person's destroyed keys, each with when."""
        return dict(self._read("SELECT key, at FROM erased WHERE mark = ? ORDER BY seq", (mark,)))

    def erased_after(self, seq: int) -> list[Erased]:
        """Keys destroyed since, in order."""
        rows = self._read("SELECT seq, key, mark, at FROM erased WHERE seq > ? ORDER BY seq", (seq,))
        return [Erased(*row) for row in rows]

    # --- holds -------------------------------------------------------------

    def hold(self, mark: bytes, hold: Hold) -> None:
        """Keep a person's keys from erasure; a later word replaces an earlier one.

        Raises:
            SerinusError: ``SRN-PRIVACY-006`` their erasure was begun, so there is nothing to promise any more.
        """
        with self._transaction() as db:
            begun = db.execute("SELECT began FROM unfinished WHERE mark = ?", (mark,)).fetchone()
            if begun is not None:
                raise SerinusError(
                    "SRN-PRIVACY-006",
                    f"an erasure of this person was begun at {begun[0]}, so a hold comes too late",
                    hint="Nothing was held. `serinus privacy status` shows erasures that were not finished.",
                )
            db.execute("INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?)", (mark, *hold))

    def held(self, mark: bytes) -> Hold | None:
        """Why they are kept; None if they are not."""
        rows = self._read("SELECT since, by, reason FROM holds WHERE mark = ?", (mark,))
        return Hold(*rows[0]) if rows else None

    def release(self, mark: bytes) -> bool:
        """Let go of them; False if nobody held them."""
        with self._transaction() as db:
            return bool(db.execute("DELETE FROM holds WHERE mark = ?", (mark,)).rowcount)

    # --- the database ------------------------------------------------------

    def _read(self, query: str, values: tuple[object, ...] = ()) -> list[tuple]:
        try:
            with self._lock:
                return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    def _cut(self) -> None:
        """Take what was overwritten out of the write-ahead log too. Waits for readers up to the time-out."""
        row = self._read("PRAGMA wal_checkpoint(TRUNCATE)")[0]
        if row[0]:
            raise self._unusable(TimeoutError("its write-ahead log is in use by a reader that does not end"))

    def _foreign(self, needs: bytes) -> SerinusError:
        return SerinusError(
            "SRN-PRIVACY-003",
            f"the master key {self._master.id} does not belong to this key store, which needs {needs.decode()}",
            where=f"{self._master.where}, {self.path}",
            hint="Name the right master key with SERINUS_MASTER_KEY, or the right store with SERINUS_SUBJECT_KEYS.",
        )

    def _unusable(self, error: Exception) -> SerinusError:
        return SerinusError(
            "SRN-PRIVACY-002",
            f"the store of subject keys cannot be used ({error})",
            where=str(self.path),
            hint="Mend the disk or the permissions and repeat; what was begun is finished then. Restore a damaged "
            "store from its backup, then run `serinus privacy status --mend`.",
        )


def _bound(key_id: str, mark: bytes) -> bytes:
    return b"subject key\0" + key_id.encode() + b"\0" + mark


def store_path(home: Home, environment: Mapping[str, str] | None = None) -> Path:
    """The store of an installation: ``$SERINUS_SUBJECT_KEYS``, else ``<home>/privacy/keys.db``."""
    given = (os.environ if environment is None else environment).get("SERINUS_SUBJECT_KEYS")
    return Path(given) if given else home.root / "privacy" / "keys.db"


def _master_path(home: Home, environment: Mapping[str, str]) -> tuple[Path, bool]:
    given = environment.get("SERINUS_MASTER_KEY")
    return (Path(given), True) if given else (home.root / "privacy" / "master.key", False)


def open_store(home: Home, environment: Mapping[str, str] | None = None, *, create: bool = False) -> KeyStore:
    """The key store of an installation.

    Args:
        create: make it, and its master key beside it unless ``$SERINUS_MASTER_KEY`` names one.

    Raises:
        SerinusError: ``SRN-PRIVACY-001`` no master key; ``-002`` no store, or it cannot be used;
            ``-003`` they do not belong together.
    """
    environment = os.environ if environment is None else environment
    path = store_path(home, environment)
    where, given = _master_path(home, environment)
    if not path.exists():
        if not create:
            raise SerinusError(
                "SRN-PRIVACY-002",
                "there is no store of subject keys here",
                where=str(path),
                hint="A scorer whose contract names a privacy.subject makes one; name one that is elsewhere with "
                "SERINUS_SUBJECT_KEYS.",
            )
        if not given:
            MasterKey.create(where)

    def load() -> MasterKey:
        return MasterKey.load(where)

    try:
        return KeyStore(path, load(), load)
    except SerinusError as error:
        aside = where.with_name(where.name + ".new")
        if error.code != "SRN-PRIVACY-003" or not aside.exists():
            raise
        # A rotation was killed between the store and the file's name.
        store = KeyStore(path, MasterKey.load(aside), load)
        os.replace(aside, where)
        return store


class FoundKeys:
    """The keys of an installation, opened when the first sealed entry is met; see ``find_keys``."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._store: KeyStore | None = None

    @property
    def opened(self) -> bool:
        """Whether a store was found where one was looked for; else every key is missing, whosesoever."""
        return self._store is not None

    def key(self, key_id: str) -> bytes:
        """See ``Keys.key``."""
        try:
            self._store = self._store or open_store(self._home)
        except SerinusError as error:
            raise Withheld(key_id, "no_key", f"it is sealed, and {error.what} ({error.where})") from error
        return self._store.key(key_id)

    def erased_after(self, seq: int) -> list[Erased]:
        """Keys destroyed since, in order; none where there is no store yet.

        Raises:
            SerinusError: as ``open_store``, where there is one.
        """
        if self._store is None and not store_path(self._home).exists():
            return []
        self._store = self._store or open_store(self._home)
        return self._store.erased_after(seq)


def find_keys(home: Home) -> FoundKeys:
    """The keys of an installation, looked for when they are needed; without any, a verdict and no error."""
    return FoundKeys(home)
