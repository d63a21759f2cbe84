"""Locks, limits and restarts of a real PostgreSQL: every wait ends, with an error that has a code."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import psycopg
import pytest

from serinus.errors import SerinusError
from serinus.privacy import KeyStore, open_store
from serinus.privacy.store import NewKey
from tests.local.privacy.conftest import Place
from tests.local.scorer.load import until
from tests.support.postgres import PostgresServer

Other = psycopg.Connection[tuple[Any, ...]]
pytestmark = pytest.mark.local
AT = "2026-09-21T00:00:00+00:00"
OURS = "SELECT pid, state FROM pg_stat_activity WHERE application_name = 'serinus'"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands wait as they do, a shorter time; long enough for the server's word to come before their own."""
    monkeypatch.setattr("serinus.privacy.postgres._PATIENT", 5.0)


@pytest.fixture
def server(cluster: Place) -> PostgresServer:
    assert cluster.server is not None
    return cluster.server


@pytest.fixture
def other(server: PostgresServer) -> Generator[Other]:
    """Somebody else's session: whatever it begins, it leaves idle in its transaction."""
    connection = psycopg.connect(server.url)
    yield connection
    connection.close()


def new(store: KeyStore, name: str) -> NewKey:
    return NewKey(os.urandom(16).hex(), store.mark("customer", name), os.urandom(32), AT)


def refused(use: Callable[[], object], said: str = "") -> SerinusError:
    began = time.monotonic()
    with pytest.raises(SerinusError, match=f"SRN-PRIVACY-002.*{said}") as caught:
        use()
    assert time.monotonic() - began < 60, "it ended by itself, long before the test's patience"
    return caught.value


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize(
    "held",
    ["LOCK TABLE serinus_privacy.keys IN ACCESS EXCLUSIVE MODE", "SELECT pg_advisory_xact_lock(6165013)"],
    ids=["table", "turn"],
)
def test_a_lock_that_somebody_else_keeps_is_not_waited_for_long(
    cluster: Place, other: Other, held: str, at_once: bool, caplog: pytest.LogCaptureFixture
) -> None:
    store, using = cluster.open(), cluster.open(at_once=at_once)
    key = new(store, "ann")
    other.execute(held.encode())
    caplog.clear()
    refused(lambda: using.add([key]), "lock timeout")
    assert caplog.records == [], "told by the error alone"
    other.rollback()
    using.engine.refresh()
    using.add([key])
    assert store.counts() == (1, 0)


def test_new_keys_for_a_server_that_falls_silent_are_told_as_that(
    cluster: Place, server: PostgresServer
) -> None:
    store = cluster.open()
    keys = [new(store, f"p{i}") for i in range(50)]

    def silent() -> None:
        with store.engine.transaction(shared=True) as run:
            server.pause()
            rows = [(key.id, key.mark, bytes(60), AT) for key in keys]
            run.many("INSERT INTO keys (id, mark, wrapped, created) VALUES (?, ?, ?, ?)", rows)

    try:
        refused(silent, "timeout")
    finally:
        server.resume()
    store.add(keys)
    assert store.counts() == (50, 0)


def test_a_statement_timeout_of_the_role_changes_nothing(
    cluster: Place, server: PostgresServer, other: Other
) -> None:
    before = cluster.open()
    keys = [new(before, "ann"), new(before, "bob")]
    before.add(keys)
    server.sql("keys", "ALTER ROLE serinus SET statement_timeout = '1s'")
    try:
        store = cluster.open()
        other.execute(b"SET LOCAL statement_timeout = 0")
        other.execute(b"SELECT 1 FROM serinus_privacy.keys FOR UPDATE")
        refused(lambda: store.destroy(keys[0].mark, AT), "statement timeout")
        other.rollback()
        assert before.counts() == (2, 0)
        assert len(store.destroy(keys[0].mark, AT)) == 1
    finally:
        server.sql("keys", "ALTER ROLE serinus RESET statement_timeout")


def test_a_transaction_whose_program_is_gone_ends(
    cluster: Place, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, store = cluster.open(), cluster.open()
    key = new(store, "ann")
    store.add([key])

    def held_up() -> None:
        with held.engine.transaction() as run:
            run("DELETE FROM keys")
            refused(lambda: store.destroy(key.mark, AT), "timeout")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        held_up()
    monkeypatch.setattr("serinus.privacy.postgres._ABANDONED", 1)
    gone = cluster.open()

    def hang() -> None:
        with gone.engine.transaction() as run:
            run("DELETE FROM keys")
            until(lambda: ("idle in transaction",) not in [row[1:] for row in server.sql("keys", OURS)], 60)
            assert store.destroy(key.mark, AT) == [key.id], "nobody holds it up"

    refused(hang)


def test_nothing_is_left_idle_in_a_transaction(cluster: Place, server: PostgresServer) -> None:
    store, using = cluster.open(), cluster.open(at_once=True)

    def fail() -> None:
        with store.engine.transaction() as run:
            run("SELECT nothing")

    def fail_beside() -> None:
        with store.engine.transaction() as run:
            run("SELECT 1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_beside()
    refused(fail)
    store.add([new(store, "ann")])
    assert (store.counts(), using.counts()) == ((1, 0), (1, 0))
    assert {state for _, state in server.sql("keys", OURS)} == {"idle"}


@pytest.mark.parametrize("how", ["session ended", "server restarted"])
def test_a_connection_that_was_lost_between_statements_comes_back(
    cluster: Place, server: PostgresServer, how: str
) -> None:
    store, using = cluster.open(), cluster.open(at_once=True)
    key = new(store, "ann")
    before = store.engine.session
    if how == "session ended":
        server.sql(
            "keys",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'serinus'",
        )
        until(lambda: server.sql("keys", OURS) == [])  # they were only told to end
    else:
        cluster.crash()
    store.add([key])  # asked anew, unseen
    assert store.engine.session == before + 1
    refused(using.counts)  # whom everybody waits for does not connect by the way
    using.engine.refresh()
    assert using.counts() == (1, 0)


def test_a_connection_that_is_lost_in_a_statement_is_an_error_and_nothing_is_half_done(
    cluster: Place, server: PostgresServer, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serinus.privacy.postgres._PATIENT", 20.0)
    store, found = cluster.open(), list[SerinusError]()
    keys = [new(store, "ann"), new(store, "ann")]
    store.add(keys)
    other.execute(b"SELECT 1 FROM serinus_privacy.keys FOR UPDATE")
    work = threading.Thread(target=lambda: found.append(refused(lambda: store.destroy(keys[0].mark, AT))))
    work.start()
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'serinus' AND wait_event_type = 'Lock'"
    )
    until(lambda: len(server.sql("keys", waiting)) == 1)
    server.kill()
    work.join(30)
    assert len(found) == 1
    server.start()
    assert store.counts() == (2, 0)
    assert len(store.destroy(keys[0].mark, AT)) == 2


def test_without_a_connection_left_it_says_which_limit(cluster: Place, server: PostgresServer) -> None:
    cluster.open()
    for statement in (
        "DROP ROLE IF EXISTS few", "CREATE ROLE few LOGIN CONNECTION LIMIT 1",
        "GRANT USAGE ON SCHEMA serinus_privacy TO few",
        "GRANT SELECT ON ALL TABLES IN SCHEMA serinus_privacy TO few",
    ):  # fmt: skip
        server.sql("keys", statement)
    given = {"SERINUS_SUBJECT_KEYS": server.url.replace("serinus@", "few@")}
    try:
        one = open_store(cluster.home, given)
        error = refused(lambda: open_store(cluster.home, given), "too many connections")
        assert "CONNECTION LIMIT" in error.hint
        one.close()
        until(lambda: let_in(lambda: open_store(cluster.home, given)))  # the server hears of it later
    finally:
        until(lambda: server.sql("keys", "SELECT 1 FROM pg_stat_activity WHERE usename = 'few'") == [])
        server.sql("keys", "DROP OWNED BY few")
        server.sql("keys", "DROP ROLE few")


def let_in(opening: Callable[[], KeyStore]) -> bool:
    try:
        opening().close()
    except SerinusError as error:
        if "too many connections" not in error.what:
            raise
        return False
    return True


def test_an_address_that_accepts_and_says_nothing_is_given_up(
    cluster: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serinus.privacy.postgres._CONNECT_AT_ONCE", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://serinus@127.0.0.1:{silent.getsockname()[1]}/keys"
        cluster.environment = {"SERINUS_SUBJECT_KEYS": url}
        refused(lambda: cluster.open(at_once=True), "timeout")
