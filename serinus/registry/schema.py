"""The tables of the registry, and how those of an earlier serinus become today's, in place.

``PRAGMA user_version`` counts the migrations that a database has been through. One that
has landed never changes; what is new is another function at the end of ``MIGRATIONS``.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from serinus.audit import AuditLog
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry.records import facts_of

Migration = Callable[[sqlite3.Connection, Home], None]


def _first(db: sqlite3.Connection, home: Home) -> None:
    # Before 0.3 the tables were made without a number: they may be there.
    db.execute(
        "CREATE TABLE IF NOT EXISTS versions ("
        " model TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL, path TEXT NOT NULL,"
        " stage TEXT NOT NULL, owner TEXT NOT NULL, built_by TEXT NOT NULL, run TEXT NOT NULL,"
        " created TEXT NOT NULL, PRIMARY KEY (model, version))"
    )
    db.execute(
        "CREATE TABLE IF NOT EXISTS approvals ("
        " model TEXT NOT NULL, version INTEGER NOT NULL, approver TEXT NOT NULL, role TEXT NOT NULL,"
        " reason TEXT NOT NULL, time TEXT NOT NULL, PRIMARY KEY (model, version, approver, role))"
    )


def _lifecycle(db: sqlite3.Connection, home: Home) -> None:
    """Purpose, tier, lineage and history of each version; reviews and what asks for them."""
    for column in (
        "purpose TEXT NOT NULL DEFAULT ''",
        "tier INTEGER",
        "key TEXT NOT NULL DEFAULT ''",
        "lineage TEXT NOT NULL DEFAULT '{}'",
    ):
        db.execute(f"ALTER TABLE versions ADD COLUMN {column}")
    db.execute(
        "CREATE TABLE history ("
        " id INTEGER PRIMARY KEY, model TEXT NOT NULL, version INTEGER NOT NULL, stage TEXT NOT NULL,"
        " time TEXT NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL)"
    )
    db.execute("CREATE INDEX history_of ON history (model, version)")
    db.execute(
        "CREATE TABLE reviews ("
        " id INTEGER PRIMARY KEY, model TEXT NOT NULL, version INTEGER NOT NULL, time TEXT NOT NULL,"
        " by TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, next TEXT NOT NULL)"
    )
    db.execute(
        "CREATE TABLE triggers ("
        " id INTEGER PRIMARY KEY, model TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL,"
        " cause TEXT NOT NULL, time TEXT NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL,"
        " due TEXT NOT NULL, review INTEGER REFERENCES reviews (id))"
    )
    # A cause that lasts opens one trigger, however often it is told.
    db.execute(
        "CREATE UNIQUE INDEX open_triggers ON triggers (model, version, kind, cause) WHERE review IS NULL"
    )
    _fill(db, home)


def _fill(db: sqlite3.Connection, home: Home) -> None:
    """What the bundles and the audit log know of versions that are there already."""
    for row in db.execute("SELECT model, version, path FROM versions").fetchall():
        facts = facts_of(Path(row["path"]))
        db.execute(
            "UPDATE versions SET purpose = ?, tier = ?, key = ?, lineage = ? WHERE model = ? AND version = ?",
            (
                facts.purpose,
                facts.tier,
                facts.key,
                msgspec.json.encode(facts.lineage).decode(),
                row["model"],
                row["version"],
            ),
        )
    # A broken log is told by `audit verify`; here it is read as far as it is sound.
    with contextlib.suppress(SerinusError):
        for entry in AuditLog(home.audit).entries():
            model, _, version = entry.subject.rpartition("/")
            if entry.action in ("register", "stage") and model and version.isdecimal():
                stage = str(entry.details.get("stage", ""))
                _turn(db, (model, int(version), stage, entry.time, entry.actor, entry.reason))
    # The table of versions decides where one stands; the history must end there.
    for row in db.execute(
        "SELECT v.* FROM versions v WHERE v.stage IS NOT (SELECT stage FROM history h"
        " WHERE h.model = v.model AND h.version = v.version ORDER BY id DESC LIMIT 1)"
    ).fetchall():
        found = "as found when the history began; the audit log tells no more"
        _turn(db, (row["model"], row["version"], row["stage"], row["created"], row["built_by"], found))


def _turn(db: sqlite3.Connection, values: tuple[str, int, str, str, str, str]) -> None:
    db.execute(
        "INSERT INTO history (model, version, stage, time, by, reason) VALUES (?, ?, ?, ?, ?, ?)", values
    )


def _words(db: sqlite3.Connection, home: Home) -> None:
    """In whose role somebody approved, and whether it was an override."""
    db.execute("ALTER TABLE approvals ADD COLUMN on_behalf_of TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE approvals ADD COLUMN override INTEGER NOT NULL DEFAULT 0")


def _told(db: sqlite3.Connection, home: Home) -> None:
    """What a catalogue beside the registry (MLflow) was told of each version."""
    db.execute(
        "CREATE TABLE told ("
        " uri TEXT NOT NULL, model TEXT NOT NULL, version INTEGER NOT NULL, fingerprint TEXT NOT NULL,"
        " run TEXT NOT NULL, number TEXT NOT NULL, attempts INTEGER NOT NULL, error TEXT NOT NULL,"
        " time TEXT NOT NULL, PRIMARY KEY (uri, model, version))"
    )


MIGRATIONS: Sequence[Migration] = (_first, _lifecycle, _words, _told)


def migrate(db: sqlite3.Connection, home: Home) -> None:
    """Bring a database to today's tables, whole or not at all; one that has them is left alone.

    A database with content is first copied to ``registry.db.before-<N>``, N being the number of
    migrations it will have been through.

    Raises:
        SerinusError: ``SRN-REGISTRY-006`` a newer serinus made it.
    """
    wanted = len(MIGRATIONS)
    if _number(db) == wanted:
        return
    db.execute("BEGIN IMMEDIATE")
    have = _number(db)  # another process may have been first
    if have > wanted:
        raise SerinusError(
            "SRN-REGISTRY-006",
            f"the registry was made by a newer serinus (its tables are number {have}, known are {wanted})",
            where=str(home.registry_db),
            hint="Use that version of serinus, or restore the copy that it made before it changed the tables "
            "(registry.db.before-N).",
        )
    if have < wanted:
        if db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            _copy(home, wanted)
        for number in range(have, wanted):
            MIGRATIONS[number](db, home)
        db.execute(f"PRAGMA user_version = {wanted}")
    db.execute("COMMIT")


def _number(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _copy(home: Home, number: int) -> None:
    target = home.registry_db.with_name(f"{home.registry_db.name}.before-{number}")
    if target.exists():
        return
    part = target.with_name(f".{target.name}")
    part.unlink(missing_ok=True)
    # A connection of its own reads what was committed; the lock that is held keeps writers away.
    with (
        contextlib.closing(sqlite3.connect(home.registry_db)) as source,
        contextlib.closing(sqlite3.connect(part)) as copy,
    ):
        source.backup(copy)
    part.rename(target)
