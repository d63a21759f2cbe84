"""A PostgreSQL that is away, silent, careless or not to be trusted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from serinus.errors import SerinusError
from serinus.home import Home
from serinus.privacy import MasterKey, open_store
from serinus.privacy.store import NewKey
from serving.scorer.refusal import Refusal
from serving.scorer.subjects import STALE_AFTER, learn
from tests.local.privacy.conftest import Place
from tests.support.postgres import PostgresServer, need_postgres
from tests.unit.privacy.support import subjects

pytestmark = pytest.mark.local
AT = "2026-09-21T00:00:00+00:00"


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as caught:
        call()
    return f"{caught.value.status} {caught.value}"


def test_while_it_is_away_the_known_go_on_for_a_while_and_the_new_are_refused(cluster: Place) -> None:
    now = [0.0]
    persons = subjects(cluster.home, environment=cluster.environment, clock=lambda: now[0], without="request")
    server = cluster.server
    assert server is not None
    known = persons.keys("r1", ("ann",), 1)
    persons.flush()
    asyncio.run(learn(persons, None))
    server.kill()
    assert persons.keys("r2", ("ann",), 1) == known
    assert "503" in refused(lambda: persons.keys("r3", ("bob",), 1))
    with pytest.raises(SerinusError, match="SRN-PRIVACY-002"):
        persons.learn()
    assert "SRN-PRIVACY-002" in refused(lambda: persons.keys("r4", (None,), 1)), "nobody in particular is new"
    assert "SRN-PRIVACY-002" in refused(lambda: persons.keys("r5", ("ann", "bob"), 2))
    now[0] += STALE_AFTER
    assert persons.keys("r6", ("ann",), 1) == known
    now[0] += 1
    assert "SRN-PRIVACY-011" in refused(lambda: persons.keys("r7", ("ann",), 1))
    server.start()
    assert "SRN-PRIVACY-011" in refused(lambda: persons.keys("r8", ("ann",), 1)), "not before it was heard"
    asyncio.run(learn(persons, None))
    assert persons.keys("r9", ("ann",), 1)[0].id == known[0].id
    assert persons.keys("r10", ("bob",), 1)[0].id != known[0].id
    persons.close()


def test_keys_that_a_restored_server_does_not_hold_are_given_to_it_again(cluster: Place) -> None:
    persons, server = subjects(cluster.home, environment=cluster.environment), cluster.server
    assert server is not None
    (kept,) = persons.keys("r0", ("bob",), 1)
    persons.flush()
    backup = server.backup()
    (lost,) = persons.keys("r1", ("ann",), 1)
    persons.flush()
    asyncio.run(learn(persons, None))
    assert persons.put_back() is None, "nothing was lost yet"
    store = cluster.open()
    secrets = [store.key(key.id) for key in (kept, lost)]
    server.kill()
    server.start()
    server.restore(backup)
    asyncio.run(learn(persons, None))
    told = persons.put_back()
    assert told is not None
    assert (told.code, "1 keys" in told.what, persons.put_back()) == ("SRN-PRIVACY-012", True, None)
    assert [store.key(key.id) for key in (kept, lost)] == secrets
    (again,) = persons.keys("r2", ("ann",), 1)
    assert again.id == lost.id
    persons.close()


def test_a_key_that_was_destroyed_meanwhile_is_not_given_again(cluster: Place) -> None:
    persons, server, store = (
        subjects(cluster.home, environment=cluster.environment),
        cluster.server,
        cluster.open(),
    )
    assert server is not None
    (before,) = persons.keys("r1", ("ann",), 1)
    persons.flush()
    store.destroy(store.mark("customer", "ann"), AT)
    server.kill()
    server.start()
    asyncio.run(learn(persons, None))
    assert persons.put_back() is None
    assert store.keys_of(store.mark("customer", "ann")) == {}
    (after,) = persons.keys("r2", ("ann",), 1)
    assert after.id != before.id
    persons.close()


def test_new_keys_wait_for_a_server_that_is_away(cluster: Place) -> None:
    persons, server = subjects(cluster.home, environment=cluster.environment), cluster.server
    assert server is not None
    (key,) = persons.keys("r1", ("ann",), 1)
    server.kill()
    with pytest.raises(SerinusError, match="SRN-PRIVACY-002"):
        persons.flush()
    server.start()
    persons.flush()
    assert cluster.open().key(key.id)
    persons.close()


def test_a_server_that_accepts_and_is_silent_holds_nobody_up(cluster: Place) -> None:
    store, server = cluster.open(at_once=True), cluster.server
    assert server is not None
    server.pause()
    try:
        with pytest.raises(SerinusError, match=r"SRN-PRIVACY-002.*timeout"):
            store.find(b"nobody")
        with pytest.raises(SerinusError, match=r"SRN-PRIVACY-002.*lost"):
            store.find(b"nobody")
    finally:
        server.resume()
    store.engine.refresh()
    assert store.find(b"nobody") is None


def test_what_a_role_would_not_wait_for_is_waited_for(cluster: Place) -> None:
    assert cluster.server is not None
    cluster.server.sql("keys", "ALTER ROLE serinus SET synchronous_commit = off")
    try:
        assert cluster.open().engine.read("SHOW synchronous_commit") == [("on",)]
    finally:
        cluster.server.sql("keys", "ALTER ROLE serinus RESET synchronous_commit")


def test_a_server_that_does_not_sync_is_refused(tmp_path: Path) -> None:
    need_postgres()
    MasterKey.create(tmp_path / "privacy" / "master.key")
    with PostgresServer("fsync=off") as server:
        with pytest.raises(SerinusError, match="SRN-PRIVACY-010"):
            open_store(Home(tmp_path), {"SERINUS_SUBJECT_KEYS": server.url}, create=True)
        assert server.sql("keys", "SELECT to_regnamespace('serinus_privacy')") == [(None,)]


def test_without_a_master_key_none_is_made_beside_a_server(cluster: Place) -> None:
    cluster.master.unlink()
    with pytest.raises(SerinusError, match="SRN-PRIVACY-001"):
        cluster.open()
    assert not cluster.master.exists()


def test_a_reader_makes_no_store(cluster: Place) -> None:
    with pytest.raises(SerinusError, match=r"SRN-PRIVACY-002.*no store of subject keys in this database"):
        open_store(cluster.home, cluster.environment)


def test_a_role_that_only_scores_needs_no_more_than_its_rights(cluster: Place) -> None:
    assert cluster.server is not None
    server, owner = cluster.server, cluster.open()
    owner.add_kind("customer")
    for statement in (
        "DROP ROLE IF EXISTS scorer", "CREATE ROLE scorer LOGIN",
        "GRANT USAGE ON SCHEMA serinus_privacy TO scorer",
        "GRANT SELECT ON ALL TABLES IN SCHEMA serinus_privacy TO scorer",
        "GRANT INSERT ON serinus_privacy.keys, serinus_privacy.kinds TO scorer",
    ):  # fmt: skip
        server.sql("keys", statement)
    try:
        store = open_store(
            cluster.home, {"SERINUS_SUBJECT_KEYS": server.url.replace("serinus@", "scorer@")}, create=True
        )
        key = NewKey(os.urandom(16).hex(), store.mark("customer", "ann"), os.urandom(32), AT)
        store.add([key])
        assert store.find(key.mark) == (key.id, key.key)
        with pytest.raises(SerinusError, match="SRN-PRIVACY-002.*permission denied"):
            store.destroy(key.mark, AT)
        store.close()
    finally:
        owner.close()
        server.sql("keys", "DROP OWNED BY scorer")
        server.sql("keys", "DROP ROLE scorer")
