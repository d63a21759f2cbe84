"""A registry made by an earlier serinus goes on, in place, and nothing of it is lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from serinus.audit import AuditLog
from serinus.bundle import SigningKey, write_bundle
from serinus.errors import SerinusError
from serinus.home import Home
from serinus.registry import Registry
from serinus.registry.schema import MIGRATIONS
from tests.support.bundles import small_home, small_parts

# The tables of version 0.2, word by word.
BEFORE = """
CREATE TABLE IF NOT EXISTS versions (
  model TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL, path TEXT NOT NULL,
  stage TEXT NOT NULL, owner TEXT NOT NULL, built_by TEXT NOT NULL, run TEXT NOT NULL, created TEXT NOT NULL,
  PRIMARY KEY (model, version)
);
CREATE TABLE IF NOT EXISTS approvals (
  model TEXT NOT NULL, version INTEGER NOT NULL, approver TEXT NOT NULL, role TEXT NOT NULL,
  reason TEXT NOT NULL, time TEXT NOT NULL, PRIMARY KEY (model, version, approver, role)
);
"""
WHEN = "1970-01-01T00:00:01.000+00:00"
PROVENANCE = {
    "data": {"digest": "sha256:" + "d" * 64, "rows": 2000},
    "code": {"digest": "sha256:" + "c" * 64, "lock": "sha256:" + "e" * 64},
    "config": {"identity": {"purpose": "stop stolen cards", "tier": 2}},
    "inputs": "sha256:" + "f" * 64,
}


def earlier(tmp_path: Path, *, logged: bool = True) -> Home:
    """Version 1 built by ann, promoted by bob, approved by bob; as version 0.2 left it."""
    home = small_home(tmp_path)
    parts = small_parts()
    parts.provenance.update(PROVENANCE)
    bundle = write_bundle(home.bundles, parts, SigningKey.load_or_create(home.keys))
    if logged:
        log = AuditLog(home.audit, clock=lambda: 1.0)
        details = {"digest": bundle.digest, "stage": "validated", "owner": "cards"}
        log.append(actor="ann", action="register", subject="small/1", reason="run 1", details=details)
        log.append(
            actor="bob", action="stage", subject="small/1", reason="first", details={"stage": "champion"}
        )
    with sqlite3.connect(home.registry_db) as db:
        db.executescript(BEFORE)
        row = ("small", 1, bundle.digest, str(bundle.path), "champion", "cards", "ann", "run-1", WHEN)
        db.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        db.execute(
            "INSERT INTO approvals VALUES (?, ?, ?, ?, ?, ?)", ("small", 1, "bob", "approver", "read", WHEN)
        )
    db.close()
    return home


def test_versions_and_approvals_are_still_there_with_what_their_bundles_say(tmp_path: Path) -> None:
    registry = Registry(earlier(tmp_path))
    version = registry.get("small", "champion")
    assert (version.version, version.owner, version.built_by) == (1, "cards", "ann")
    assert (version.purpose, version.tier) == ("stop stolen cards", 2)
    assert (version.lineage.data.rows, version.lineage.lock) == (2000, "sha256:" + "e" * 64)
    assert version.key == SigningKey.load(small_home(tmp_path).keys).id
    assert [a.by for a in registry.approvals("small", 1)] == ["bob"]
    assert registry.bundle(version).digest == version.digest


def test_the_history_is_what_the_audit_log_tells(tmp_path: Path) -> None:
    turns = Registry(earlier(tmp_path)).history("small", 1)
    assert [(t.stage, t.by, t.reason, t.time) for t in turns] == [
        ("validated", "ann", "run 1", WHEN),
        ("champion", "bob", "first", WHEN),
    ]


def test_without_a_log_the_history_begins_where_the_version_stands(tmp_path: Path) -> None:
    (turn,) = Registry(earlier(tmp_path, logged=False)).history("small", 1)
    assert (turn.stage, turn.time) == ("champion", WHEN)
    assert "as found" in turn.reason


def test_a_broken_log_stops_no_migration(tmp_path: Path) -> None:
    home = earlier(tmp_path)
    log = home.audit / "audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b"first", b"fir5t"))
    assert [t.stage for t in Registry(home).history("small", 1)] == ["validated", "champion"]


def test_work_goes_on_after_it(tmp_path: Path) -> None:
    registry = Registry(earlier(tmp_path))
    registry.retire("small", 1, by="bob", reason="the product ended", live=True)
    assert [t.stage for t in registry.history("small", 1)] == ["validated", "champion", "retired"]


def test_the_database_as_it_was_is_kept_beside_it(tmp_path: Path) -> None:
    home = earlier(tmp_path)
    Registry(home).models()
    with sqlite3.connect(home.root / f"registry.db.before-{len(MIGRATIONS)}") as copy:
        assert copy.execute("SELECT model, stage FROM versions").fetchall() == [("small", "champion")]
        assert copy.execute("PRAGMA user_version").fetchone() == (0,)
    copy.close()


def test_a_new_registry_needs_no_copy(tmp_path: Path) -> None:
    home = small_home(tmp_path)
    Registry(home).models()
    assert list(home.root.glob("registry.db.before-*")) == []


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = earlier(tmp_path)

    def full(db: sqlite3.Connection, home: Home) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("serinus.registry.schema.MIGRATIONS", (*MIGRATIONS, full))
    with pytest.raises(SerinusError, match=r"SRN-REGISTRY-001.*disk is full"):
        Registry(home).models()
    with sqlite3.connect(home.registry_db) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (0,)
        assert {row[1] for row in db.execute("PRAGMA table_info(versions)")}.isdisjoint({"tier", "purpose"})
    db.close()
    monkeypatch.undo()
    assert Registry(home).models() == ["small"]


def test_what_a_newer_serinus_made_is_left_alone(tmp_path: Path) -> None:
    home = small_home(tmp_path)
    Registry(home).models()
    with sqlite3.connect(home.registry_db) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(SerinusError, match="SRN-REGISTRY-006.*newer serinus"):
        Registry(home).models()
